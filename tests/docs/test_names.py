"""Products are called by their names."""

import re
from typing import Final

from checkout import pages
from zama_ops.paths import ROOT

NAMES: Final = (
    *("Alertmanager", "Checkov", "Chromium", "CloudWatch", "CodeDeploy", "Cosign", "Debian"),
    *("Docker", "Dockerfile", "Fargate", "FastAPI", "GitHub", "Grafana", "Granian", "Graphviz"),
    *("JavaScript", "MiniStack", "nginx", "OpenAPI", "OpenTelemetry", "Playwright", "Prometheus"),
    *("Python", "Sigstore", "Swagger UI", "Terraform", "WSGI"),
)
_CODE: Final = re.compile(
    r"^ *```.*?^ *```|`[^`\n]*`|\]\([^)]*\)|<https?:[^>]*>", re.MULTILINE | re.DOTALL
)


def misspelt(text: str) -> set[str]:
    """Return names in prose that are not spelled as their owners do."""
    prose = _CODE.sub(" ", text)
    found = {
        word
        for name in NAMES
        for word in re.findall(rf"(?<![\w./@[-]){name}(?![\w/@-]|\.\w)", prose, re.IGNORECASE)
    }
    return found - set(NAMES)


def test_names_are_spelled_as_their_owners_do() -> None:
    """In prose; code, links and names of files have their own ways."""
    # Results are tables of names in the code.
    prose = [page for page in pages() if page.parent.name != "results"]
    found = {str(page.relative_to(ROOT)): misspelt(page.read_text()) for page in prose}
    assert {page: names for page, names in found.items() if names} == {}


def test_a_misspelt_name_is_found() -> None:
    """In another case, but not in code, a path or a file's name."""
    assert misspelt("Nginx and Github, `github`, [x](github.com), dockerfile\n") == {
        "Nginx",
        "Github",
        "dockerfile",
    }
    assert misspelt("```\ndocker\n```\nnginx.conf zama-nginx /python/ @github Docker\n") == set()
