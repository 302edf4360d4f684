def password_of_the_owner():
    """Returns the password of the owner."""
    return "correct horse battery staple, which is long enough to be sent as a part of a file"

