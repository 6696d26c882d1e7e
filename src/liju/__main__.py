"""`python -m liju` is the command `liju`."""

from liju.cli import script

if __name__ == "__main__":
    script()
