"""The meaning: the accelerator as SimPy processes, one per part, written to be read.

    channel -- Request --> port -- one grant a cycle --> link up --> DRAM --> link down --> ended
    array <-- blocks loaded, slots free          array --> tiles computed --> stores

A part knows its neighbours only by the events it waits for and by `accept`, so a memory that reorders can take the place of the flat one.
Waits stand one after another: the instant at which a process is past them is the latest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.engines.codec import Codec
from accelsim.engines.contention import conflict_cycles
from accelsim.engines.dram import BankedDram
from accelsim.engines.gauge import Gauge
from accelsim.engines.machine import Machine, duration
from accelsim.engines.stalls import Moments, Stalls, columns
from accelsim.schedule.tables import NONE, READ, WRITE, Schedule
from accelsim.timeline import CAUSES, Timeline, no_channels

Steps = Generator[simpy.Event, Any, None]
Deliver = Callable[["Request"], None]

UNKNOWN = -1
LATE, LAST = (cast(simpy.events.EventPriority, number) for number in (2, 3))  # after SimPy's urgent (0) and normal (1) events of an instant


class Environment(simpy.Environment):
    """SimPy's, with a clock of whole picoseconds."""

    @property
    def time(self) -> int:
        """Now, ps."""
        return int(self.now)

    def call(self, time: int, action: Callable[[], None], last: bool = False) -> None:
        """Do something at `time`, or `last` of all that happens then, grants included."""
        event = Late(self, time - self.time, LAST) if last else self.timeout(time - self.time)
        event.callbacks.append(lambda _: action())


class Late(simpy.Event):
    """An event that happens after every other event of its instant."""

    def __init__(self, env: Environment, delay: int, priority: simpy.events.EventPriority = LATE) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        env.schedule(self, priority=priority, delay=delay)


@dataclass(eq=False)
class Request:
    """One burst. `since`: when its channel presented it; `granted`, `ended`: events."""

    transfer: int
    direction: int
    tile: int
    channel: int
    address: int
    size: int
    since: int
    granted: simpy.Event
    ended: simpy.Event


class Stage:
    """A part that serves one request at a time, first come first served, and hands it on after a latency: a link direction, a flat DRAM.

    What else has `accept`, `busy` and calls `deliver` may stand in its place, in whatever order it serves.
    """

    def __init__(self, env: Environment, occupation: Callable[[Request], int], latency: Callable[[Request], int], deliver: Deliver) -> None:
        self.env, self.occupation, self.latency, self.deliver = env, occupation, latency, deliver
        self.waiting, self.travelling = simpy.Store(env), simpy.Store(env)
        self.busy = 0
        env.process(self.serve())
        env.process(self.travel())

    def accept(self, request: Request) -> None:
        """Queue a request."""
        self.waiting.put(request)

    def serve(self) -> Steps:
        """Process: be occupied by one request after another."""
        while True:
            request = yield self.waiting.get()
            time = self.occupation(request)
            yield self.env.timeout(time)
            self.busy += time
            if latency := self.latency(request):
                self.travelling.put((self.env.time + latency, request))
            else:
                self.deliver(request)

    def travel(self) -> Steps:
        """Process: deliver requests when they are due, in order."""
        while True:
            due, request = yield self.travelling.get()
            yield self.env.timeout(due - self.env.time)
            self.deliver(request)


class Port:
    """The DMA's one door to the link: at each clock edge it grants the presentable request with the smallest key."""

    def __init__(self, env: Environment, machine: Machine, accept: Deliver) -> None:
        self.env, self.machine, self.accept = env, machine, accept
        self.offers: list[Request] = []
        self.read_ends: list[int] = []
        self.reads = self.grants = 0
        self.wake = env.event()
        env.process(self.grant())

    def offer(self, request: Request) -> None:
        """Take part in the arbitration from now on."""
        self.offers.append(request)
        self.stir()

    def read_ended(self) -> None:
        """Count a read that is no longer in flight."""
        self.read_ends.append(self.env.time)
        self.stir()

    def stir(self) -> None:
        """Have the port look again."""
        if not self.wake.triggered:
            self.wake.succeed()

    def key(self, request: Request) -> tuple[int, int, int, int]:
        """Presentable since, read before write, tile, channel. A read is presentable once few enough reads are in flight."""
        since, limit = request.since, self.machine.outstanding_reads
        if request.direction == READ and limit and self.reads >= limit:
            since = max(since, self.read_ends[self.reads - limit])
        return since, request.direction, request.tile, request.channel

    def presentable(self) -> list[Request]:
        """The offers that could be granted now."""
        limit = self.machine.outstanding_reads
        full = limit > 0 and self.reads - len(self.read_ends) >= limit
        return [request for request in self.offers if request.direction == WRITE or not full]

    def grant(self) -> Steps:
        """Process: grant one request an edge, when all else of that instant has happened."""
        free = 0
        while True:
            while not self.presentable():
                self.wake = self.env.event()
                yield self.wake
            yield Late(self.env, self.machine.edge(max(self.env.time, free)) - self.env.time)
            request = min(self.presentable(), key=self.key)
            self.offers.remove(request)
            self.grants += 1
            self.reads += request.direction == READ
            free = self.env.time + self.machine.period
            self.accept(request)
            request.granted.succeed()


class Accelerator:
    """All parts of one replay, and the events by which they wait for each other."""

    def __init__(self, schedule: Schedule, machine: Machine) -> None:
        self.machine, self.slots = machine, schedule.slots
        self.tiles, self.blocks, self.transfers, self.descriptors, self.layers = (
            columns(table) for table in (schedule.tiles, schedule.blocks, schedule.transfers, schedule.descriptors, schedule.layers)
        )
        self.conflicts: list[int] = conflict_cycles(schedule, machine).tolist()
        tiles, blocks, transfers, layers = (
            len(column) for column in (self.tiles["layer"], self.blocks["order"], self.transfers["tile"], self.layers["drain"])
        )
        env = self.env = Environment()
        self.computed = [env.event() for _ in range(tiles)]
        self.ended = [env.event() for _ in range(transfers)]
        self.released = [env.event() for _ in range(blocks)]
        self.tile_start, self.tile_end = [UNKNOWN] * tiles, [UNKNOWN] * tiles
        self.start, self.end = [UNKNOWN] * transfers, [UNKNOWN] * transfers
        self.released_at = [UNKNOWN] * blocks
        self.codec = Codec(schedule, machine)
        self.stored_at, self.drained_at = [0] * layers, [0] * layers
        self.moved, self.overhead, self.bursts = [0] * transfers, [0] * transfers, [0] * transfers
        self.gauges = [Gauge() for _ in self.slots]
        self.down = Stage(
            env,
            lambda request: duration(machine.down_bytes(request.direction, request.size), machine.down_rate),
            lambda request: machine.latency_down,
            self.arrived,
        )
        self.dram: Stage | BankedDram[Request]
        if machine.banks is None:
            self.dram = Stage(
                env,
                lambda request: duration(request.size, machine.dram_rate),
                lambda request: machine.dram_latency if request.direction == READ else 0,
                lambda request: self.down.accept(request) if request.direction == READ else self.arrived(request),
            )
        else:
            self.dram = BankedDram(machine.banks, env, self.down.accept, self.arrived)
        self.up = Stage(
            env,
            lambda request: duration(machine.up_bytes(request.direction, request.size), machine.up_rate),
            lambda request: machine.latency_up,
            self.dram.accept,
        )
        self.port = Port(env, machine, self.up.accept)
        self.stored = [env.process(self.watch_stores(layer)) for layer in range(layers)]
        self.drained = [env.process(self.watch_drain(layer)) for layer in range(layers)]
        env.process(self.array())
        for direction, channels in ((READ, machine.read_channels), (WRITE, machine.write_channels)):
            for number in range(channels):
                env.process(self.channel(direction, number))

    def arrived(self, request: Request) -> None:
        """End a request."""
        if request.direction == READ:
            self.port.read_ended()
            self.codec.arrived(request.transfer, self.env.time)
        request.ended.succeed()

    def watch_stores(self, layer: int) -> Steps:
        """Process: ends when every store of this and all earlier layers has ended."""
        for x, (direction, owner) in enumerate(zip(self.transfers["direction"], self.transfers["layer"], strict=True)):
            if direction == WRITE and owner == layer:
                yield self.ended[x]
        if layer > 0:
            yield self.stored[layer - 1]
        self.stored_at[layer] = self.env.time

    def watch_drain(self, layer: int) -> Steps:
        """Process: ends when every block of all earlier layers has been released."""
        for b, owner in enumerate(self.blocks["layer"]):
            if owner < layer:
                yield self.released[b]
        self.drained_at[layer] = self.env.time

    def slot_free(self, block: int) -> Steps:
        """Wait for the release of the block whose slot `block` takes over."""
        slots = self.slots[self.blocks["tensor"][block]]
        if self.blocks["order"][block] >= slots:
            yield self.released[block - slots]

    def allocate(self, block: int) -> None:
        """Take a slot."""
        self.gauges[self.blocks["tensor"][block]].change(self.blocks["bytes"][block], self.env.time)

    def release(self, block: int) -> None:
        """Give a slot back."""
        self.gauges[self.blocks["tensor"][block]].change(-self.blocks["bytes"][block], self.env.time)
        self.released_at[block] = self.env.time
        self.released[block].succeed()

    def channel(self, direction: int, number: int) -> Steps:
        """Process: serve the transfers of one channel in order."""
        machine, env, free = self.machine, self.env, 0
        requests = simpy.Container(env, init=machine.outstanding_requests)
        descriptors = simpy.Container(env, init=machine.outstanding_descriptors)
        serial = machine.outstanding_descriptors == 1
        for x in range(len(self.ended)):
            if self.transfers["direction"][x] != direction or self.transfers["channel"][x] != number:
                continue
            yield from self.ready(x)
            if direction == READ and self.transfers["block"][x] != NONE:
                self.allocate(self.transfers["block"][x])
            if direction == WRITE:
                yield env.timeout(self.codec.encode(x, env.time) - env.time)
            in_flight: list[simpy.Event] = []
            for d in range(self.transfers["descriptor_low"][x], self.transfers["descriptor_high"][x]):
                if serial:
                    yield from in_flight
                cycles = machine.next_descriptor_cycles if in_flight and not serial else machine.setup_cycles
                yield env.timeout(cycles * machine.period)
                yield descriptors.get(1)
                mine = []
                for address, size in machine.cut(direction, [column[d] for column in self.descriptors.values()]):
                    yield env.timeout(max(0, free - env.time))
                    yield requests.get(1)
                    tile = self.transfers["tile"][x]
                    request = Request(x, direction, tile, number, address, size, env.time, env.event(), env.event())
                    self.port.offer(request)
                    yield request.granted
                    free = env.time + machine.period
                    self.book(request)
                    request.ended.callbacks.append(lambda _: requests.put(1))  # type: ignore[arg-type]  # nobody takes what it returns
                    mine.append(request.ended)
                env.process(self.give_back(descriptors, mine))
                in_flight += mine
            if in_flight:
                env.process(self.finish(x, in_flight))
            else:
                yield env.timeout(machine.edge(env.time) - env.time)
                self.start[x] = env.time
                yield from self.finish(x, [])

    def ready(self, x: int) -> Steps:
        """Wait for all that transfer `x` needs besides its channel."""
        wait, layer, block = (self.transfers[name][x] for name in ("wait_transfer", "wait_layer", "block"))
        if wait != NONE:
            yield self.ended[wait]
        if layer != NONE:
            yield self.stored[layer]
        if self.transfers["direction"][x] == WRITE:
            yield self.computed[self.transfers["tile"][x]]
        elif block != NONE:
            yield from self.slot_free(block)
            if self.layers["drain"][self.blocks["layer"][block]]:
                yield self.drained[self.blocks["layer"][block]]

    def book(self, request: Request) -> None:
        """Count a granted request."""
        x = request.transfer
        if self.start[x] == UNKNOWN:
            self.start[x] = self.env.time
        self.moved[x] += request.size
        self.overhead[x] += self.machine.overhead(request.direction, request.size)
        self.bursts[x] += 1

    def give_back(self, credits: simpy.Container, ended: Iterable[simpy.Event]) -> Steps:
        """Process: return one credit when all of `ended` have happened."""
        yield from ended
        yield credits.put(1)

    def finish(self, x: int, ended: Iterable[simpy.Event]) -> Steps:
        """Process: note the end of transfer `x` when its requests have ended and its codec is done; a store frees its block."""
        yield from ended
        yield self.env.timeout(self.codec.done(x, self.env.time) - self.env.time)
        self.end[x] = self.env.time
        self.ended[x].succeed()
        if self.transfers["direction"][x] == WRITE and self.transfers["block"][x] != NONE:
            self.release(self.transfers["block"][x])

    def array(self) -> Steps:
        """Process: run the tiles in order, each from the first edge at which all it needs is there."""
        tiles, env = self.tiles, self.env
        for t in range(len(self.computed)):
            blocks = [tiles[name][t] for name in ("ifmap_block", "filter_block", "ofmap_block") if tiles[name][t] != NONE]
            for block in blocks:
                load = self.blocks["load"][block]
                if load == NONE:
                    yield from self.slot_free(block)
                else:
                    yield self.ended[load]
            if tiles["metadata"][t] != NONE:
                yield self.ended[tiles["metadata"][t]]
            if self.layers["drain"][tiles["layer"][t]]:
                yield self.drained[tiles["layer"][t]]
            yield env.timeout(self.machine.edge(env.time) - env.time)
            self.tile_start[t] = env.time
            for block in blocks:
                if self.blocks["first_tile"][block] == t and self.blocks["load"][block] == NONE:
                    self.allocate(block)
            yield env.timeout((tiles["busy_cycles"][t] + tiles["fill_cycles"][t] + self.conflicts[t]) * self.machine.period)
            self.tile_end[t] = env.time
            self.computed[t].succeed()
            for block in blocks:
                if self.blocks["last_tile"][block] == t and self.blocks["store"][block] == NONE:
                    self.release(block)


def run(schedule: Schedule, machine: Machine) -> Timeline:
    """Replay a schedule whose tables `admission.require_sound` has accepted.

    Units:   times in the timeline are -1 where work could never start: `admission.require_finished` names it
    """
    parts = Accelerator(schedule, machine)
    parts.env.run()
    moments = Moments(parts.tile_start, parts.tile_end, parts.end, parts.released_at, parts.stored_at, parts.drained_at)
    stalls = Stalls(machine, parts.tiles, parts.blocks, parts.transfers, parts.layers, parts.slots, parts.conflicts, moments)
    tile_end = parts.tile_end[-1] if parts.tile_end else 0
    end = max([tile_end, *parts.end])

    def integers(values: object, *shape: int) -> NDArray[np.int64]:
        return np.array(values, np.int64).reshape(shape or (-1,))

    return Timeline(
        tile_start=integers(parts.tile_start),
        tile_end=integers(parts.tile_end),
        stall_cycles=integers([stalls.of(t) for t in range(len(parts.tile_end))], -1, len(CAUSES)),
        transfer_start=integers(parts.start),
        transfer_end=integers(parts.end),
        bytes_moved=integers(parts.moved),
        overhead_bytes=integers(parts.overhead),
        bursts=integers(parts.bursts),
        layer_stored=integers(parts.stored_at),
        peak_bytes=integers([gauge.peak for gauge in parts.gauges]),
        end=end,
        drain_cycles=-(-(end - tile_end) // machine.period),
        port_busy=parts.port.grants * machine.period,
        link_down_busy=parts.down.busy,
        link_up_busy=parts.up.busy,
        dram_counts=parts.dram.close(end) if isinstance(parts.dram, BankedDram) else no_channels(),
        dram_busy=parts.dram.busy,  # once all is written
    )
