"""Authentication: which clients are let in, under which name, in which role and with which quota."""

import time

from overtone.gpu_server.errors import Forbidden, Unauthenticated
from overtone.gpu_server.limits import tokens
from overtone.gpu_server.limits.quota import Account, Clock
from overtone.gpu_server.limits.role import Role
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.telemetry.metrics import Metrics

_UNLIMITED = Account()


class Access:
    """The tokens and certificates that a server accepts; an open server accepts everybody.

    A client is named by its token, else by its certificate, else by its address. This name, the owner, is recorded with
    everything that the server holds for the client.

    Args:
        settings: the tokens, and the file of further ones.
        metrics: where refusals by quotas are counted.
        clock: seconds, for quotas.

    Raises:
        ValueError: the file cannot be used.
    """

    def __init__(self, settings: Settings, metrics: Metrics, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        # Names and roles, by the hash of the token.
        self._owners: dict[str, tuple[str, Role]] = {}
        self._accounts: dict[str, Account] = {}
        self.reload()

    @property
    def needs_token(self) -> bool:
        """Whether clients have to show a token."""
        return bool(self._settings.tokens) or self._settings.tokens_file is not None

    @property
    def restricted(self) -> bool:
        """Whether clients have to show a token or a certificate."""
        return self.needs_token or self._settings.tls_client_ca is not None

    def reload(self) -> None:
        """Read the file again; accounts keep what was used unless their quota has changed.

        Raises:
            ValueError: it cannot be used; everything stays as it was.
        """
        file = self._settings.tokens_file
        entries = {} if file is None else tokens.read(file)
        # By number rather than by hash: people choose these tokens, and logs name the owner.
        plain = enumerate(self._settings.tokens, 1)
        self._owners = {
            tokens.digest(each): (f"token {tokens.UNNAMED}{number}", Role.DEVICE) for number, each in plain
        }
        self._owners |= {entry.sha256: (f"token {name}", entry.role) for name, entry in entries.items()}
        self._accounts = {f"token {name}": self._account(f"token {name}", e) for name, e in entries.items()}

    def admit(self, authorization: str | None, address: str, certificate: str | None = None) -> str:
        """Let a client in, and name it; the connection itself has checked its certificate, if it must have one.

        Raises:
            Unauthenticated: the server has tokens, and this is none of them.
            Forbidden: it is a token of administrators.
        """
        if not self.needs_token:
            return f"peer {address}" if certificate is None else f"certificate {certificate}"
        return self._holder(authorization, Role.DEVICE)

    def admit_administrator(self, authorization: str | None, address: str, needed: Role) -> str:
        """Let somebody in at the administrators' port, and name them; where there is no file of tokens, everybody.

        Raises:
            Unauthenticated: there is a file, and this is no token of it.
            Forbidden: it is one with another role than is needed.
        """
        if self._settings.tokens_file is None:
            return f"peer {address}"
        return self._holder(authorization, needed)

    def knows(self, owner: str) -> bool:
        """Whether `admit` could still return this name, which it has returned before."""
        return not owner.startswith("token ") or (owner, Role.DEVICE) in self._owners.values()

    def account(self, owner: str) -> Account:
        """The account of an owner; one without limits if the file has no quota for it."""
        return self._accounts.get(owner, _UNLIMITED)

    def _holder(self, authorization: str | None, needed: Role) -> str:
        scheme, _, given = (authorization or "").partition(" ")
        # Looked up by its hash, so that the time this takes reveals nothing about tokens.
        found = self._owners.get(tokens.digest(given.strip()))
        if scheme.lower() != "bearer" or found is None:
            raise Unauthenticated("send a known token as 'authorization: Bearer TOKEN'")
        owner, role = found
        if not role.permits(needed):
            raise Forbidden(f"{owner} has the role {role}, and this needs {needed}")
        return owner

    def _account(self, owner: str, entry: tokens.TokenEntry) -> Account:
        account = self._accounts.get(owner)
        if account is None:
            return Account(owner, entry.quota, self._count_refusal, self._clock)
        if account.quota != entry.quota:
            account.change(entry.quota)
        return account

    def _count_refusal(self, quota: str) -> None:
        self._metrics.shed.labels("quota", quota).inc()
