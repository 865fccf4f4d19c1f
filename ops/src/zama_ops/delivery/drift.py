"""`zama drift`: changes on AWS that did not come from a deploy."""

import json
from typing import Final

import typer

from zama_ops.console import errors_told, notes
from zama_ops.delivery.release import last_deployed, terraform, variables
from zama_ops.git import checkout
from zama_ops.options import Bucket
from zama_ops.paths import BUILD, ROOT
from zama_ops.programs import run
from zama_ops.topics import topic

_FOUND: Final = BUILD / "drift.md"
# Below GitHub's limit for the text of an issue.
_MOST_CHARACTERS: Final = 60_000

app: Final = typer.Typer(
    help="Find and report changes on AWS since the last deploy.", no_args_is_help=True
)


@app.command()
def find(bucket: Bucket) -> None:
    """Plan the deployed release again and write any differences to build/drift.md.

    It also writes which topics wait for a subscriber's confirmation. The file is empty if there is
    nothing to report.
    """
    with errors_told():
        BUILD.mkdir(exist_ok=True)
        _FOUND.write_text("")
        deployed = last_deployed(bucket)
        if deployed is None:
            notes.print("`zama deploy apply` has not deployed anything yet.")
            return
        with checkout(deployed.commit) as folder, variables(deployed) as words:
            service = terraform(folder, bucket)
            saved = folder / "drift.tfplan"
            planned = service.run(
                "plan", "-detailed-exitcode", f"-out={saved}", *words, codes=(0, 2)
            )
            topics = map(topic, service.outputs().get("alarm_topic_arns", {}).values())
            found = [
                f"A subscriber of {one.name} has not confirmed and gets no alarms. Open the link in"
                " AWS's e-mail, or deploy again after three days to send another.\n"
                for one in topics
                if one.pending
            ]
            if planned != 0:
                text = service.ask("show", "-no-color", str(saved))
                found.append(
                    f"AWS differs from the deployed commit {deployed.commit}. Add the change to"
                    " `terraform/`, or deploy again to undo it.\n\n"
                    f"```\n{text[:_MOST_CHARACTERS]}\n```\n"
                )
        if not found:
            notes.print(f"There is no drift from {deployed.tag}.")
            return
        _FOUND.write_text("\n".join(found))
        notes.print(f"There is drift; see {_FOUND.relative_to(ROOT)}.", style="yellow")


@app.command()
def report() -> None:
    """Open, update or close the issue labelled `drift` to match build/drift.md; needs `gh`."""
    with errors_told():
        issues = run("gh", "issue", "list", "--label=drift", "--state=open", "--json=number")
        numbers = [str(one["number"]) for one in json.loads(issues)]
        body = f"--body-file={_FOUND}"
        if not _FOUND.read_text():
            for number in numbers:
                run("gh", "issue", "close", number, "--comment=There is no more drift.")
        elif numbers:
            run("gh", "issue", "edit", numbers[0], body)
        else:
            run("gh", "label", "create", "drift", "--force", "--color=d93f0b")
            run("gh", "issue", "create", "--label=drift", "--title=AWS has drifted", body)
