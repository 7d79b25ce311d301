"""Running programs."""

import subprocess

from .layout import WorldError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": "/root"}


def run(*argv, stdin=None, check=True, timeout=60):
    """Runs to the end and returns its standard output. A failure is a WorldError that carries what the program said."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, env=ENVIRONMENT, timeout=timeout,
                              check=False)
    except FileNotFoundError:
        raise WorldError(f"{argv[0]} is not installed: deploy/setup --for demo installs it") from None
    except subprocess.TimeoutExpired:
        raise WorldError(f"{' '.join(argv)}: did not end within {timeout} s") from None
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise WorldError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done.stdout


def succeeds(*argv):
    return subprocess.run(argv, capture_output=True, env=ENVIRONMENT, check=False).returncode == 0
