"""`python -m soundseek` is the command `soundseek`."""

from soundseek.cli.main import main

if __name__ == "__main__":
    main()
