"""`python -m accelsim` and `accelsim` are the same program."""

from accelsim.cli import main

if __name__ == "__main__":
    main()
