"""Code that the commands share: the root folder, errors for the user, arguments and ports."""
