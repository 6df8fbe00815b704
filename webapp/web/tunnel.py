"""The way in from outside: a public address through ngrok, which pyngrok drives. Whatever goes wrong is told in words; the authtoken,
which ngrok's own messages repeat, never is."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Sequence

import psutil

from webapp.errors import AppError

PATIENCE = 30.0  # seconds for the agent to be up and the address to be there; the first run fetches the agent before that
FETCHING = 180.0

SENTENCES = {  # ngrok's codes
    105: "This is not an ngrok authtoken. Please copy it whole from dashboard.ngrok.com/get-started/your-authtoken.",
    107: "This ngrok authtoken is not valid any more. Please copy the one that dashboard.ngrok.com shows now.",
    108: "Your ngrok account has as many agents running as it may (three on the free plan). Please stop one of the others.",
    120: "The ngrok agent on this machine is too old. Please delete it, so that a new one is fetched.",
    121: "The ngrok agent on this machine is too old. Please delete it, so that a new one is fetched.",
    334: "Your ngrok address is in use already: another notebook or machine shares something there. Please stop that one first.",
    725: "Your ngrok account has used up its data for this month.",
    726: "Your ngrok account has used up its requests for this month.",
    727: "Your ngrok account has used up its budget for this month.",
    4018: "ngrok wants an authtoken. A free one is at dashboard.ngrok.com/get-started/your-authtoken.",
}
SILENT = "The ngrok agent did not answer in time. Please try again; if it stays so, look whether this machine may reach ngrok.com."
UNKNOWN = "The link could not be opened, and ngrok did not say why in a way I know."
FETCH = "The ngrok agent could not be fetched. Please look whether this machine may reach bin.equinox.io."


class Tunnel:
    """An open way in; `url` is its public address, without a slash at the end."""

    def __init__(self, url: str, agent: str) -> None:
        self.url, self._agent = url.rstrip("/"), agent

    def close(self) -> None:
        """Ends it, and the agent with it; again is no mistake."""
        _end(self._agent)


def open_tunnel(upstream: str, authtoken: str, domain: str = "", agent: str = "", patience: float = PATIENCE) -> Tunnel:
    """A public address for `upstream`, an address on this machine such as "http://127.0.0.1:7860"; `domain` is one reserved at ngrok, `agent`
    the program's path if it is not pyngrok's own.

    An agent that an earlier call started is stopped first. Raises AppError.
    """
    if not authtoken.strip():
        raise AppError(SENTENCES[4018])
    from pyngrok import conf, ngrok

    _hush(authtoken)
    # a session of its own: who interrupts a cell does not interrupt the agent
    config = conf.PyngrokConfig(auth_token=authtoken.strip(), start_new_session=True, **({"ngrok_path": agent} if agent else {}))
    _end(config.ngrok_path)
    if not agent:
        _within(FETCHING, lambda: ngrok.install_ngrok(config), FETCH)
    options = {"url": domain if "://" in domain else f"https://{domain}"} if domain else {}

    def connect() -> str:
        return ngrok.connect(name="text-to-image", upstream={"url": upstream}, pyngrok_config=config, **options).public_url

    try:
        return Tunnel(_within(patience, connect, SILENT), config.ngrok_path)
    except AppError:
        _end(config.ngrok_path)
        raise


def _within(seconds: float, work, silent: str):
    """What `work` gives within `seconds`, on a clock of our own: pyngrok waits for ever for an agent that says nothing. Raises AppError."""
    found: list = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # of pyngrok, of urllib, of the agent's own making
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="tunnel")
    thread.start()
    thread.join(seconds)
    if failed:
        raise AppError(sentence(failed[0])) from None
    if not found:
        raise AppError(silent)
    return found[0]


def _end(agent: str) -> None:
    """Ends the agents of that path which this program started, and those whose program is gone, as after a kernel's crash. Only then is
    pyngrok told, which would else wait for whoever waits for a silent agent, and may yet take a dead one for running if it is not told."""
    from pyngrok import process as known

    for process in psutil.process_iter():
        try:
            if {agent, "--none"} <= set(process.cmdline()) and _is_ours_or_nobodys(process):  # as pyngrok starts it
                process.kill()
                process.wait(5)
        except psutil.Error:  # it went by itself
            pass
    known.kill_process(agent)


def _is_ours_or_nobodys(process: psutil.Process) -> bool:
    """Orphans go to process 1, in a desktop's session to its `systemd --user`."""
    parent = process.parent()
    return parent is not None and (parent.pid in (1, os.getpid()) or parent.name() == "systemd")


def sentence(error: Exception) -> str:
    """What to say of an error of pyngrok's. Its code may be in the message, in the agent's own words, or in the answer's body."""
    from pyngrok import exception

    words = " ".join(str(part) for part in (error, getattr(error, "ngrok_error", ""), getattr(error, "body", "")))
    for code in re.findall(r"ERR_NGROK_(\d+)", words):
        if int(code) in SENTENCES:
            return SENTENCES[int(code)]
    if isinstance(error, exception.PyngrokNgrokInstallError):
        return FETCH
    return UNKNOWN


def _hush(*secrets: str) -> None:
    """Takes the secrets out of what pyngrok logs."""
    names: Sequence[str] = ("pyngrok", "pyngrok.ngrok", "pyngrok.process", "pyngrok.process.ngrok", "pyngrok.installer")
    for name in names:
        logger = logging.getLogger(name)
        for old in [old for old in logger.filters if isinstance(old, _Hush)]:
            logger.removeFilter(old)
        logger.addFilter(_Hush(secrets))


class _Hush(logging.Filter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self.secrets = [secret for secret in secrets if secret]

    def filter(self, record: logging.LogRecord) -> bool:
        words = record.getMessage()
        for secret in self.secrets:
            words = words.replace(secret, "...")
        record.msg, record.args = words, ()
        return True
