"""The SNS topics of the alarms."""

from dataclasses import dataclass

from zama_ops.aws import client


@dataclass(frozen=True)
class Topic:
    """A topic's name, and its subscribers who have confirmed and who have not."""

    name: str
    confirmed: int
    pending: int


def topic(arn: str) -> Topic:
    """Ask AWS about a topic."""
    with client("sns") as sns:
        attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    counts = (int(attributes[f"Subscriptions{state}"]) for state in ("Confirmed", "Pending"))
    return Topic(arn.rpartition(":")[2], *counts)
