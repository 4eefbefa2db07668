"""Random networks and files that try to make a certificate wrong, and judges that know nothing of the package."""
