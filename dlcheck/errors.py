"""What the user must put right."""


class UserError(Exception):
    """Something that the user asked for and that cannot be done; one line of text for each thing that is wrong."""
