"""Product names are spelled correctly."""

import re
from typing import Final

from checkout import pages
from zama_ops.paths import ROOT

NAMES: Final = (
    *("Alertmanager", "Checkov", "Chromium", "CloudWatch", "CodeDeploy", "Cosign", "Debian"),
    *("Docker", "Dockerfile", "Fargate", "FastAPI", "GitHub", "Grafana", "Graphviz"),
    *("JavaScript", "MiniStack", "nginx", "OpenAPI", "OpenTelemetry", "Playwright", "Prometheus"),
    *("Python", "Sigstore", "Terraform", "WSGI"),
)
_CODE: Final = re.compile(
    r"^ *```.*?^ *```|`[^`\n]*`|\]\([^)]*\)|<https?:[^>]*>", re.MULTILINE | re.DOTALL
)


def misspelt(text: str) -> set[str]:
    prose = _CODE.sub(" ", text)
    found = {
        word
        for name in NAMES
        for word in re.findall(rf"(?<![\w./@[-]){name}(?![\w/@-]|\.\w)", prose, re.IGNORECASE)
    }
    return found - set(NAMES)


def test_product_names_are_spelled_correctly() -> None:
    """The check covers prose, and ignores code, links and file names."""
    # Results are tables of names from the code.
    prose = [page for page in pages() if page.parent.name != "results"]
    found = {str(page.relative_to(ROOT)): misspelt(page.read_text()) for page in prose}
    assert {page: names for page, names in found.items() if names} == {}


def test_a_misspelt_name_is_found() -> None:
    """Wrong case is found in prose, but not in code, paths or file names."""
    assert misspelt("Nginx and Github, `github`, [x](github.com), dockerfile\n") == {
        "Nginx",
        "Github",
        "dockerfile",
    }
    assert misspelt("```\ndocker\n```\nnginx.conf zama-nginx /python/ @github Docker\n") == set()
