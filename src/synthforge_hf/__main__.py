"""``python -m synthforge_hf`` is the ``synthforge`` command."""

from synthforge_hf.cli import main

if __name__ == "__main__":
    main()
