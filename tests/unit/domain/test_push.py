"""How nodes that listen are named."""

from __future__ import annotations

import pytest

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.push import PushNode, parse_listen, parse_push_nodes


@pytest.mark.parametrize(
    ("line", "node"),
    [
        ("192.0.2.7:9000", PushNode("http://192.0.2.7:9000")),
        ("Studio-B.local:9000:5", PushNode("http://studio-b.local:9000", 5)),
        (" render_1:09000:-3 ", PushNode("http://render_1:9000", -3)),
        ("http://studio:80", PushNode("http://studio:80")),
        ("https://studio:443/:0", PushNode("https://studio:443", 0)),
        ("[2001:db8::7]:9000:1", PushNode("http://[2001:db8::7]:9000", 1)),
    ],
)
def test_a_node_is_an_address_and_perhaps_a_priority(line: str, node: PushNode) -> None:
    assert parse_push_nodes([line]) == [node]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "studio",
        "studio:0",
        "studio:65536",
        "studio:9000:high",
        "studio:9000:5:6",
        "ftp://studio:9000",
        "http://user:word@studio:9000",
        "studio:9000/path",
        "studio:9000?x=1",
        "-x:9000",
        "studio :9000",
        "studio:9000\r\nHost:1",
    ],
)
def test_what_names_no_node_is_refused_with_an_example(line: str) -> None:
    with pytest.raises(InvalidRequest, match=r"192\.0\.2\.7:9000:5"):
        parse_push_nodes([line])


def test_a_node_named_twice_is_refused_however_it_is_written() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        parse_push_nodes(["studio:9000", "http://Studio:9000:5"])


@pytest.mark.parametrize(
    ("text", "host", "port"), [("192.0.2.7:9000", "192.0.2.7", 9000), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65535)]
)  # fmt: skip
def test_an_address_to_listen_on_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_listen(text) == (host, port)


@pytest.mark.parametrize("text", ["", "9000", ":9000", "host", "host:65536", "http://host:1", "host:1:2"])
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"0\.0\.0\.0:9000"):
        parse_listen(text)
