"""``python -m service`` is ``hookline``."""

from service.cli import main

if __name__ == "__main__":
    main()
