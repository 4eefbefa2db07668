from ._report import BuildReport as BuildReport

__all__ = [
    "BuildReport",
]
