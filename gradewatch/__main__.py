"""`python -m gradewatch` is `gradewatch`."""

from gradewatch.cli import main

if __name__ == "__main__":
    main()
