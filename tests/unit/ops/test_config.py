"""Settings come from file, environment and flags, in that order, and are refused as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mediafleet.domain.errors import ConfigError
from mediafleet.ops.config import load_settings, setting_types, variable_of
from mediafleet.ops.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a current folder of the test's own."""
    home = tmp_path / "home"
    (home / ".config/mediafleet").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return home


def load(
    *, text: str | None = None, environ: dict[str, str] | None = None, flags: dict[str, Any] | None = None
) -> Settings:
    if text is not None:
        Path("mediafleet.toml").write_text(text, encoding="utf-8")
    return load_settings(environ=environ or {}, flags=flags or {})


def test_defaults_need_nothing_and_make_the_data_directory_absolute(home: Path) -> None:
    settings = load()
    assert settings.data == home / ".local/share/mediafleet"
    assert settings.store == Settings().store
    assert settings.scheduler == Settings().scheduler


def test_flags_win_over_the_environment_and_the_environment_over_the_file() -> None:
    text = "[server]\nport = 1001\nhost = 'localhost'\n[scheduler]\nreap_ms = 300\n"
    environ = {"MEDIAFLEET_SERVER__PORT": "1002", "MEDIAFLEET_SCHEDULER__REAP_MS": "301"}
    settings = load(text=text, environ=environ, flags={"server.port": 1003})
    assert settings.server.port == 1003
    assert settings.scheduler.reap_ms == 301
    assert settings.server.host == "localhost"


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load(text="[server]\nport = 1001\n", flags={"server.port": None}).server.port == 1001


def test_the_file_of_the_current_folder_hides_the_one_at_home(home: Path) -> None:
    (home / ".config/mediafleet/mediafleet.toml").write_text("[server]\nport = 7\n", encoding="utf-8")
    assert load().server.port == 7
    assert load(text="[store]\ncell = 'b'\n").server.port == 8000


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_settings(file=tmp_path / "none.toml", environ={}, flags={})


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.toml is not TOML"):
        load_settings(file=file, environ={}, flags={})


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [("MEDIAFLEET_REDIS", "redis://r:1", "store.redis_url"), ("MEDIAFLEET_TOKEN", "t" * 20, "server.token")],
)
def test_short_variables_set_what_is_set_most_often(variable: str, value: str, key: str) -> None:
    section, _, name = key.partition(".")
    assert getattr(getattr(load(environ={variable: value}), section), name) == value


def test_variables_that_are_no_settings_are_left_alone() -> None:
    load(environ={"MEDIAFLEET_SERVER": "http://h:1", "MEDIAFLEET_TEST_CHROMIUM": "/c", "PATH": "/bin"})


def test_lists_are_separated_by_commas_in_the_environment() -> None:
    settings = load(environ={"MEDIAFLEET_NODE__LABELS": "studio-b, gpu ,"})
    assert settings.node.labels == ("studio-b", "gpu")


def test_a_list_in_brackets_is_no_odd_name() -> None:
    """Made absolute it would be a folder of that name, and nothing would be allowed."""
    with pytest.raises(ConfigError, match="a list with commas and without brackets"):
        load(environ={"MEDIAFLEET_ARTIFACTS__FILE_ROOTS": '["/media"]'})
    nodes = load(environ={"MEDIAFLEET_SCHEDULER__PUSH_NODES": "[::1]:7430,192.0.2.1:7430"}).scheduler.push_nodes
    assert nodes == ("[::1]:7430", "192.0.2.1:7430")


def test_every_setting_can_be_given_in_the_environment() -> None:
    """The name that the reference shows for a key is the one that is read."""
    defaults = Settings()
    for key, kind in setting_types().items():
        if kind is int:
            section, _, name = key.partition(".")
            value = getattr(getattr(defaults, section), name)
            assert load(environ={variable_of(key): str(value)}) == load()


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'scheduler\.reap', which is no setting; did you mean 'scheduler\.reap_ms'"):
        load(text="[scheduler]\nreap = 3\n")
    with pytest.raises(ConfigError, match=r"MEDIAFLEET_SERVER__PROT sets .* did you mean 'server\.port'"):
        load(environ={"MEDIAFLEET_SERVER__PROT": "1"})
    with pytest.raises(ConfigError, match=r"sets 'zzzzzzzz', .*config\.md lists all keys"):
        load(flags={"zzzzzzzz": 1})


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"'shceduler\.reap_ms', which is no setting; did you mean 'scheduler\.reap_ms'"
    ):
        load(text="[shceduler]\nreap_ms = 3\n")


def test_a_value_where_a_section_belongs_is_refused() -> None:
    with pytest.raises(ConfigError, match="'server', which is no setting"):
        load(text="server = 5\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[scheduler]\nreap_ms = '300'\n",
            r"scheduler\.reap_ms \(milliseconds\) in .*mediafleet\.toml: expected `int`, got `str`",
        ),
        ("[scheduler]\nreap_ms = 0.5\n", r"expected `int`, got `float`"),
        (
            "[store]\ndurability = 'never'\n",
            r"^store\.durability in .*toml is 'never'; it must be one of 'everysec', 'always'\.$",
        ),
        ("[log]\nlevel = 3\n", r"log\.level in .* is 3; it must be one of 'debug', 'info', 'warning', 'error'\."),
        ("data = 5\n", r"data in .*: expected"),
        ("[node]\nlabels = 'one'\n", r"node\.labels in .*: expected `array`, got `str`"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_key_unit_and_place(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load(text=text)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(text="[scheduler]\nreap = 1\n[store]\ndurability = 1\n", environ={"MEDIAFLEET_SERVER__PORT": "high"})
    assert caught.value.message.startswith("3 settings are wrong: ")
    for word in ("scheduler.reap", "store.durability", "server.port"):
        assert word in caught.value.message


def test_a_value_that_cannot_be_read_hides_no_value_that_cannot_work() -> None:
    with pytest.raises(ConfigError) as caught:
        load(text="[store]\ndurability = 'sometimes'\nprefix = '!'\n[server]\nport = 70000\nprot = 1\n")
    assert caught.value.message.startswith("4 settings are wrong: ")
    for word in ("'everysec', 'always'", "store.prefix", "server.port", "server.prot"):
        assert word in caught.value.message


@pytest.mark.parametrize("key", ["heartbeat_ms", "reservation_ms", "reap_ms"])
def test_nothing_is_said_of_what_does_not_fit_to_a_value_that_cannot_be_read(key: str) -> None:
    others = {"node_lease_ms": 500, "reservation_ms": 400, "heartbeat_ms": 200, "reap_ms": 100} | {key: "'x'"}
    text = "".join(f"{name} = {value}\n" for name, value in others.items())
    with pytest.raises(ConfigError) as caught:
        load(text=f"[scheduler]\n{text}")
    assert caught.value.message.startswith(f"scheduler.{key} (milliseconds) in ")


def test_one_problem_is_one_sentence_without_a_count() -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags={"server.port": 70_000})
    assert caught.value.message == "server.port is 70000; it must be 0 to 65535."


def test_paths_are_absolute_whatever_way_they_were_written(home: Path) -> None:
    settings = load(
        text="data = 'd'\n[artifacts]\nroot = '~/art'\nfile_roots = ['m', '/n']\n", flags={"data": Path("other")}
    )
    assert settings.data == Path.cwd() / "other"
    assert settings.artifacts.root == str(home / "art")
    assert settings.artifacts.file_roots == (str(Path.cwd() / "m"), "/n")


def test_the_token_is_not_part_of_what_is_printed() -> None:
    assert "secretsecretsecret" not in repr(load(environ={"MEDIAFLEET_TOKEN": "secretsecretsecret"}))


def test_mapped_folders_are_a_table_in_a_file_and_a_list_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "mediafleet.toml"
    file.write_text('[node.paths]\n"/mnt/media" = "/m"\n"/mnt/more" = "/n"\n')
    expected = ("/mnt/media=/m", "/mnt/more=/n")
    assert load_settings(file=file, environ={}, flags={}).node.paths == expected
    given = {"MEDIAFLEET_NODE__PATHS": "/mnt/media=/m, /mnt/more=/n"}
    file.write_text("")
    assert load_settings(file=file, environ=given, flags={}).node.paths == expected
    file.write_text('[node]\npaths = { "/mnt/media" = "/m", "/mnt/more" = 5 }\n')
    with pytest.raises(ConfigError):
        load_settings(file=file, environ={}, flags={})
