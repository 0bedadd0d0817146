"""The profile that a client encodes for, of which parts are fetched when they are needed."""

import asyncio

from overtone.edge_client import errors
from overtone.edge_client.profile_cache import ProfileCache
from overtone.edge_client.retry import Retries
from overtone.edge_client.transport import ClientConfig, Transport
from overtone.frequency import (
    BlockMask,
    Encoded,
    FrequencyError,
    Profile,
    encode_further,
    encode_region,
    part_of,
)


class CurrentProfile:
    """The profile of a server, or a part of it.

    Args:
        transport: fetches the profile.
        cache: has profiles that were fetched before.
        config: the client's.
        first: the first profile or part; see `open`.
    """

    def __init__(
        self, transport: Transport, cache: ProfileCache, config: ClientConfig, first: Profile
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._config = config
        self.value = first
        self._first_layer: Profile | None = None
        self._renewing = asyncio.Lock()
        self._growing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, transport: Transport, cache: ProfileCache, config: ClientConfig) -> "CurrentProfile":
        """Fetch the part that is needed first, trying until the time is up unless nothing takes a connection.

        Raises:
            UsageError: the profile has no such quality.
            OvertoneError: the profile did not come.
        """
        retries = Retries(asyncio.get_running_loop().time() + config.timeout)
        while True:
            try:
                first = await transport.profile(cache)
                break
            except errors.BadPayload as error:
                if "no quality" not in error.what:
                    raise
                raise errors.UsageError(error.what) from error
            except errors.Unreachable:  # nobody wants to wait long because of a wrong address
                raise
            except errors.Unavailable as error:
                await retries.pause(error)
        current = cls(transport, cache, config, first)
        await current._use(first)
        if not config.layers:
            await current.grow(len(first.ladder))
        return current

    @property
    def first_layer(self) -> Profile:
        """The part for the first layer alone, for pictures whose further layers are encoded in requested blocks."""
        if self._first_layer is None or self._first_layer.id != self.value.id:
            self._first_layer = part_of(self.value, self._config.quality, 1)
        return self._first_layer

    def close(self) -> None:
        """Fetch nothing more."""
        if self._growing is not None:
            self._growing.cancel()

    async def renew(self, stale: Profile) -> bool:
        """Fetch the profile again, once for all images that were encoded for `stale`.

        Returns:
            Whether this call fetched it.
        """
        async with self._renewing:
            if self.value.id != stale.id:
                return False
            await self._use(await self._transport.profile(self._cache, fresh=True))
            return True

    async def whole(self) -> Profile:
        """Fetch and keep the whole profile.

        Raises:
            OvertoneError: it did not come.
        """
        profile = await self._transport.whole()
        await asyncio.to_thread(self._cache.add, profile)
        return profile

    async def grow(self, layers: int) -> None:
        """Fetch the tables of the layers up to this number; concurrent calls share a request, which outlives them.

        Raises:
            OvertoneError: the tables did not come.
        """
        while self.value.layers < layers:
            if self._growing is None or self._growing.done():
                self._growing = asyncio.create_task(self._fetch(self.value, layers))
                self._growing.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.wait([self._growing])  # it goes on if this is cancelled
            if self._growing.cancelled():
                raise errors.ConnectionLost("the client was closed")
            self._growing.result()

    async def encode_further(
        self, encoded: Encoded, profile: Profile, layers: int, blocks: bytes = b""
    ) -> Encoded:
        """An image that was encoded with a part of this profile, now with its layers up to this number.

        With `blocks`, a packed block mask, the missing layers are encoded for these blocks alone.

        Raises:
            WrongProfile: the server has another profile now.
            ProtocolError: these blocks cannot be encoded.
            OvertoneError: tables did not come, or are of another quality.
        """
        await self.grow(layers)
        if self.value.id != profile.id:
            raise errors.WrongProfile("the server has changed its model")
        if blocks:
            return await asyncio.to_thread(_encode_blocks, encoded, self.value, blocks)
        try:
            return await asyncio.to_thread(encode_further, encoded, self.value)
        except FrequencyError as error:
            raise errors.BadImage(str(error)) from error

    async def _fetch(self, before: Profile, layers: int) -> None:
        further = await self._transport.further(before, layers)
        if further.layers < layers:
            raise errors.ProtocolError("the server did not send the tables that it was asked for")
        if self.value is before:
            self.value = further
            await asyncio.to_thread(self._cache.add, further)

    async def _use(self, profile: Profile) -> None:
        quality = self._config.quality
        if quality is not None and quality not in profile.qualities:
            raise errors.UsageError(f"no quality {quality}: {profile.name} has {list(profile.qualities)}")
        self.value = profile
        await asyncio.to_thread(self._cache.add, profile)


def _encode_blocks(encoded: Encoded, profile: Profile, blocks: bytes) -> Encoded:
    try:
        mask = BlockMask.unpack(blocks, (profile.blocks, profile.blocks))
        return encode_region(encoded, profile, mask, len(encoded.layers))
    except ValueError as error:
        raise errors.ProtocolError(f"the server asks for blocks that cannot be sent ({error})") from error
