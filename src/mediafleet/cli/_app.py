"""The table of commands, with the examples that their help pages end with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App, Group

from mediafleet import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

WORK = Group("Get work done", sort_key=1)
FOLLOW = Group("Follow and steer jobs", sort_key=2)
OPERATE = Group("Run a fleet", sort_key=3)
LEARN = Group("Look around", sort_key=4)

app = App(
    name="mediafleet",
    version=__version__,
    help="One fleet for all media work: jobs go in, and any machine of the fleet that can do them does.",
    help_format="plaintext",
    help_epilogue=(
        "Start here:\n"
        "  mediafleet demo                 a tour on generated media\n"
        "  mediafleet transcode film.mkv   one file, with nothing set up\n"
        "  mediafleet up                   a fleet; console at http://127.0.0.1:8000\n\n"
        "Every command has examples: mediafleet COMMAND --help."
    ),
)


def _add(name: str, where: str, group: Group, summary: str, examples: Sequence[tuple[str, str]]) -> None:
    shown = "\n".join(f"  {line}" + (f"\n      {meaning}" if meaning else "") for line, meaning in examples)
    # As a word and not as a function: the module is imported only when its command runs, and some take long.
    app.command(
        f"mediafleet.cli.{where}",
        name=name,
        group=group,
        help=summary,
        help_epilogue=f"Examples:\n{shown}",
        sort_key=None,
    )


_add("transcode", "transcode:transcode", WORK, "Convert media files and folders; fetch the results.", [
    ("mediafleet transcode film.mkv", "H.264 in MP4, into this folder"),
    ("mediafleet transcode holiday/ --preset hevc --out done", "every media file below a folder"),
    ("mediafleet transcode *.wav --preset mp3 --json", "one JSON list for a program"),
    ("mediafleet transcode a.mkv --container mkv --crf 20", "choose container and quality"),
    ("mediafleet transcode a.mkv --param filters.crop.top=140 --param filters.crop.bottom=140", "cut black bars off"),
    ("mediafleet transcode holiday/ --preset hevc --replace", "in place of the sources, which are kept for 30 days"),
    ("mediafleet transcode -- -odd-name.mp4", "names that begin with a dash come after --"),
])  # fmt: skip
_add("subtitle", "subtitle:subtitle", WORK, "Write subtitles for videos and sound files, and translate them.", [
    ("mediafleet subtitle film.mkv", "film.en.srt beside it, in the language that is spoken"),
    ("mediafleet subtitle series/ --from en --to es,de", "every film below a folder that has none yet"),
    ("mediafleet subtitle talk.mp4 --format srt,vtt --burn", "and a copy with subtitles in the picture"),
    ("mediafleet subtitle film.en.srt --to fr", "only translated"),
    ("mediafleet subtitle song.flac --style karaoke --format ass", "each word lights up as it is sung"),
])  # fmt: skip
_add("restore", "restore:restore", WORK, "Bring back the originals that jobs replaced.", [
    ("mediafleet restore j0-7h3k…", "the result is removed; works until the original's time in the trash is over"),
])  # fmt: skip
_add("submit", "submit:submit", WORK, "Hand in a job of any kind.", [
    ("mediafleet submit transcode film.mkv --param preset=av1", "prints the job's id"),
    ("mediafleet submit noop --wait", "waits for the end; exit 0 if it completed"),
    ("mediafleet submit noop --not-before 2030-01-31T22:00 --deadline 2030-02-01T06:00", "overnight, or not at all"),
    ("""mediafleet submit transcode a.mkv --params '{"preset": "hevc"}'""", "params as JSON"),
    ("mediafleet submit transcode artifact:a0-…", "an input that was uploaded before"),
])  # fmt: skip
_add("get", "results:get", WORK, "Fetch the results of a job.", [
    ("mediafleet get j0-7h3k… --out done", "into the folder done"),
    ("mediafleet get j0-7h3k… --force", "overwrite what is there"),
])  # fmt: skip
_add("jobs", "jobs:jobs", FOLLOW, "List jobs, newest first.", [
    ("mediafleet jobs", ""),
    ("mediafleet jobs --status failed --limit 200", ""),
    ("mediafleet jobs --watch", "follow all that happens until Ctrl-C"),
])  # fmt: skip
_add("job", "jobs:job", FOLLOW, "Show all that is known of one job.", [
    ("mediafleet job j0-7h3k…", ""),
    ("mediafleet job j0-7h3k… --json", "the JobView of the API"),
])  # fmt: skip
_add("cancel", "jobs:cancel", FOLLOW, "Cancel jobs.", [
    ("mediafleet cancel j0-7h3k…", ""),
    ("mediafleet cancel $(mediafleet jobs --status pending --json | jq -r '.jobs[].id')", "all that wait"),
])  # fmt: skip
_add("batch", "batch:batch", FOLLOW, "Show how far a batch is: all of it, and each of its jobs.", [
    ("mediafleet batch holiday", "of mediafleet transcode … --batch holiday"),
    ("mediafleet batch holiday --json", "the BatchView of the API"),
])  # fmt: skip
_add("pause", "pause:pause", FOLLOW, "Let nothing of jobs, on a node or in the fleet begin, for a while.", [
    ("mediafleet pause j0-7h3k…", "what runs finishes"),
    ("mediafleet pause j0-7h3k… --now", "what runs is stopped, and begins anew after the pause"),
    ("mediafleet pause --node n0-studio-7h3k2m", "this node takes nothing new"),
    ("mediafleet pause --all", "nothing begins anywhere, over all restarts"),
])  # fmt: skip
_add("resume", "pause:resume", FOLLOW, "Let jobs, a node or the fleet go on after a pause.", [
    ("mediafleet resume j0-7h3k…", ""),
    ("mediafleet resume --node n0-studio-7h3k2m", ""),
    ("mediafleet resume --all", "what is paused by itself stays so"),
])  # fmt: skip
_add("review", "review:review", FOLLOW, "Fetch what a job wants a person to look at, and put it back corrected.", [
    ("mediafleet review j0-7h3k… --out text.json", "the document, to be corrected in any editor"),
    ("mediafleet review j0-7h3k… --put text.json", "the job goes on with it"),
    ("mediafleet review j0-7h3k… | jq … | mediafleet review j0-7h3k… --put -", "from and to a program"),
])  # fmt: skip
_add("retry", "jobs:retry", FOLLOW, "Give failed or cancelled jobs another go.", [
    ("mediafleet retry j0-7h3k…", ""),
])  # fmt: skip
_add("dead", "dead:dead", FOLLOW, "List tasks that failed for good, look at them, try them again or drop them.", [
    ("mediafleet dead", "newest first"),
    ("mediafleet dead show j0-7h3k….encode", "its error, and where its attempts ended and how"),
    ("mediafleet dead retry j0-7h3k….encode", "another go for its job"),
    ("mediafleet dead drop j0-7h3k….encode --json", "off the list; its job stays as it is"),
])  # fmt: skip
_add("why", "why:why", FOLLOW, "Say why a job waits, and what it waits for.", [
    ("mediafleet why j0-7h3k…", ""),
    ("mediafleet why j0-7h3k… --json", "each pool and executor, for a program"),
])  # fmt: skip
_add("up", "serve:up", OPERATE, "Run everything on this machine: store, scheduler, node and console.", [
    ("mediafleet up", "console at http://127.0.0.1:8000"),
    ("mediafleet up --host 0.0.0.0", "for other machines; makes a token and prints where it is"),
    ("mediafleet up --data /srv/fleet --nodes 2", "its own data, two nodes"),
])  # fmt: skip
_add("scheduler", "serve:scheduler", OPERATE, "Run one scheduler instance.", [
    ("mediafleet scheduler --host 0.0.0.0 --redis redis://store:6379/0", ""),
    ("mediafleet scheduler --token-file token", "asks for the credential in that file"),
])  # fmt: skip
_add("node", "serve:node", OPERATE, "Run one node: this machine works for a fleet.", [
    ("mediafleet node --scheduler http://10.0.0.5:8000", ""),
    ("mediafleet node --scheduler http://10.0.0.5:8000 --slots 4 --label studio-b", ""),
])  # fmt: skip
_add("nodes", "nodes:nodes", OPERATE, "List nodes, what they can do and what they run.", [
    ("mediafleet nodes", ""),
    ("mediafleet nodes --json | jq '.[].host'", ""),
])  # fmt: skip
_add("drain", "nodes:drain", OPERATE, "Let a node finish what it runs and take nothing new.", [
    ("mediafleet drain n0-studio-7h3k2m", ""),
    ("mediafleet drain n0-studio-7h3k2m --undo", "take work again"),
])  # fmt: skip
_add("pools", "nodes:pools", OPERATE, "List pools: executors that can do the same.", [
    ("mediafleet pools", ""),
    ("mediafleet pools --json", "the list of PoolView of the API"),
])  # fmt: skip
_add("catalogue", "catalogue:catalogue", OPERATE, "List the services and models that the fleet knows.", [
    ("mediafleet catalogue", "where the list comes from, and the newest of each first"),
    ("mediafleet catalogue --json", "the CatalogueView of the API"),
])  # fmt: skip
_add("log-level", "log_level:log_level", OPERATE, "Show or set which lines scheduler instances and nodes write.", [
    ("mediafleet log-level", "what is in force"),
    ("mediafleet log-level scheduler.placer debug", "on all instances, within seconds"),
    ("mediafleet log-level scheduler.placer default", "as it was"),
])  # fmt: skip
_add("check", "check:check", LEARN, "Say what is installed, what is reachable and what this machine can do.", [
    ("mediafleet check", "exit 1 if a fleet could not work here"),
    ("mediafleet check --server http://10.0.0.5:8000", "and whether that scheduler answers"),
])  # fmt: skip
_add("presets", "presets:presets", LEARN, "List what a transcode can make, or show one preset.", [
    ("mediafleet presets", "the built-in ones, and your own from ~/.config/mediafleet/presets"),
    ("mediafleet presets phone", "all that it says, as TOML to begin a preset of your own with"),
    ("mediafleet presets --json", "each with its recipe, for a program"),
])  # fmt: skip
_add("models", "models:models", LEARN, "List speech engines and models, download models, or say where they belong.", [
    ("mediafleet models", "what could be loaded here, what the others need, and models that are known"),
    ("mediafleet models pull faster-whisper-base", "only this downloads; its size and licence are said first"),
    ("mediafleet models path", "the folder of models: <folder>/<engine>/<model>"),
    ("mediafleet models list --json", "for a program"),
])  # fmt: skip
_add("demo", "demo:demo", LEARN, "Take a tour on generated media: two nodes, several files, verified results.", [
    ("mediafleet demo", ""),
    ("mediafleet demo --input film.mkv", "with a file of yours"),
])  # fmt: skip
_add("bench", "bench:bench", LEARN, "Measure this machine and print one table.", [
    ("mediafleet bench", "all figures"),
    ("mediafleet bench noop_tasks_per_s --json", "one figure, for a program"),
    ("mediafleet bench noop --with-peers", "beside the task queues that are installed"),
])  # fmt: skip


_SWITCHES = {"--json", "--debug"}
_WITH_VALUE = {"--server", "--token-file", "--data", "--config"}


def hoist_options(tokens: list[str]) -> list[str]:
    """Return the command line with shared options that stand before the command moved behind it."""
    # They are options of the commands, so the parser would refuse them in front of one.
    before: list[str] = []
    rest = list(tokens)
    while rest and rest[0].partition("=")[0] in _SWITCHES | _WITH_VALUE:
        takes_next = rest[0] in _WITH_VALUE
        before += rest[: 1 + takes_next]
        rest = rest[1 + takes_next :]
    return [*rest[:1], *before, *rest[1:]]
