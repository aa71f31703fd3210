import subprocess
import sys

import app


def test_every_name_is_there_and_sorted() -> None:
    assert app.__all__ == sorted(app.__all__)
    for name in app.__all__:
        assert getattr(app, name) is not None


def test_a_wrong_name_is_an_attribute_error() -> None:
    assert not hasattr(app, "nothing")


def test_importing_the_package_does_not_load_torch() -> None:
    code = "import sys, app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
