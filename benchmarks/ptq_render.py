def render(p):
    pass
