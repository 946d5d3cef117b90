"""All workers in this process: Flower's apps, messages and serial form, without its network and its processes."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from . import flower  # noqa: F401  (before Flower)

from flwr.app import Context, Message, RecordDict  # isort: skip
from flwr.serverapp import Grid  # isort: skip
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects  # isort: skip
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip

from .client import app as client_app
from .settings import Settings

RUN = 1


def through_the_wire(message: Message) -> Message:
    """The message as the other side would read it: serialised and read back."""
    message.metadata.__dict__["_message_id"] = message.object_id
    contents = {name: part.deflate() for name, part in get_all_nested_objects(message).items()}
    result = inflate_object_from_contents(message.object_id, contents)
    assert isinstance(result, Message)
    result.metadata.__dict__["_message_id"] = message.metadata.message_id
    return result


class LocalGrid(Grid):
    """A Grid whose nodes are calls of the ClientApp; node k + 2 is worker k, for 1 is Flower's own number of the hub.

    Parameters
    ----------
    devices
        What each worker opens, as many as there are workers.
    keep
        Folder for what stays with the workers, or None.
    jobs
        Workers that train at the same time. The result does not depend on it.
    client
        The ClientApp, or something that is called like one.
    """

    def __init__(self, settings: Settings, devices: Sequence[str], *, keep: str | None = None, jobs: int = 1,
                 client: Callable[[Message, Context], Message] = client_app):
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, 1, 1
        self._client, self._jobs = client, jobs
        self._contexts = {}
        for worker, device in enumerate(devices):
            about = {"partition-id": worker, "num-partitions": len(devices), "device": device}
            if keep is not None:
                about["keep"] = keep
            self._contexts[worker + 2] = Context(RUN, worker + 2, about, RecordDict(),
                                                 {"settings": settings.to_json()})

    def set_run(self, run) -> None:
        """There is one run."""

    @property
    def run(self):
        raise NotImplementedError("a local federation has no run of a SuperLink")

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self._contexts)

    def push_messages(self, messages):
        raise NotImplementedError("local workers answer at once: use send_and_receive")

    def pull_messages(self, message_ids):
        raise NotImplementedError("local workers answer at once: use send_and_receive")

    def _answer(self, message: Message) -> Message:
        received = through_the_wire(message)
        return through_the_wire(self._client(received, self._contexts[message.metadata.dst_node_id]))

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if self._jobs == 1:
            return [self._answer(message) for message in messages]
        with ThreadPoolExecutor(self._jobs) as pool:
            return list(pool.map(self._answer, messages))
