import { beforeEach, describe, expect, it } from 'vitest';
import type { Digest, PeerId } from '#shared/ids.ts';
import { StandIns } from '../../../signal-server/hidden/stand-ins.ts';
import { planModel } from '../../../signal-server/placement/planned-model.ts';
import { Registry } from '../../../signal-server/placement/registry.ts';
import type { UnitSpan } from '../../../signal-server/placement/stage-grid.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';
import { smallManifest } from '../../support/small-manifest.ts';

const model = planModel('a'.repeat(64) as Digest, smallManifest(), 2, true);
const [front, back] = [model.grid.find(({ start }) => start === 0)!, model.grid.find(({ start }) => start === 5)!];
const part = model.grid.find(({ start, end }) => start === 0 && end < front.end)!;
const at = (span: UnitSpan) => ({ model: model.digest, span });

describe('stand-ins', () => {
  let clock: FakeClock;
  let registry: Registry;
  let standIns: StandIns;
  let running: Map<PeerId, { readonly signal: AbortSignal; readonly end: (error?: Error) => void }>;
  let started: number;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry(clock);
    running = new Map();
    started = 0;
    standIns = open(2 ** 40);
  });

  function open(mostBytes: number): StandIns {
    const log = { info: () => undefined, warn: () => undefined };
    const opened = new StandIns({ clock, registry, mostBytes, log, models: () => [model] });
    opened.attach({
      run: (onKey, _bytes, signal) =>
        new Promise((resolve, reject) => {
          const id = String(started++).padStart(64, '0') as PeerId;
          onKey(id);
          const end = (error?: Error) => (running.delete(id), error ? reject(error) : resolve());
          signal.addEventListener('abort', () => end());
          running.set(id, { signal, end });
        }),
    });
    return opened;
  }

  const spans = () => [...running.keys()].map((id) => standIns.placeOf(id)!.span).sort((a, b) => a.start - b.start);

  function load(): void {
    for (const id of running.keys()) {
      const volunteer = registry.offer(registry.join(id, 'anchor', 'loopback', 1), offerOf({}));
      const { number } = registry.assign(volunteer, standIns.placeOf(id)!);
      registry.ready(volunteer, { assignment: number, layerMs: 1 });
      standIns.ready(id);
    }
  }

  it('hold the stage that is asked for and the fewest others that make it a model', () => {
    expect(standIns.isReadyFor(at(front))).toBe(false);
    expect(spans()).toEqual([front, back]);
    load();
    expect(standIns.isReadyFor(at(front))).toBe(true);
    // The same ones do for the other half.
    expect(standIns.isReadyFor(at(back))).toBe(true);
    expect(started).toBe(2);
  });

  it('make way for another stage once they have been used, and not before', async () => {
    standIns.isReadyFor(at(front));
    expect(standIns.isReadyFor(at(part))).toBe(false);
    load();
    expect(standIns.isReadyFor(at(part))).toBe(false);
    const letGo = standIns.use(at(front));
    expect(standIns.isReadyFor(at(part))).toBe(false);
    expect(spans()).toEqual([front, back]);
    letGo();
    expect(standIns.isReadyFor(at(part))).toBe(false);
    await settle();
    expect(spans().map(({ start }) => start)).toEqual([0, part.end, 5]);
    expect(started).toBe(5);
  });

  it('go a minute after their last session, and not during one', async () => {
    standIns.isReadyFor(at(front));
    load();
    const letGo = standIns.use(at(front));
    await clock.advance(300_000);
    standIns.tick();
    expect(running.size).toBe(2);
    const [id] = running.keys();
    expect(standIns.isStandIn(id!)).toBe(true);
    letGo();
    await clock.advance(61_000);
    standIns.tick();
    await settle();
    expect(running.size).toBe(0);
    expect(standIns.isStandIn(id!)).toBe(false);
  });

  it.each<[string, () => Promise<void> | void]>([
    ['one of them ends', () => [...running.values()][0]!.end(new Error('no memory'))],
    ['one cannot load its stage', () => standIns.failed([...running.keys()][0]!, 'a blob is missing')],
    ['they do not load in time', () => clock.advance(61_000)],
  ])('are given up for a while where %s', async (_what, fail) => {
    standIns.isReadyFor(at(front));
    expect(standIns.canHold(at(front))).toBe(true);
    await fail();
    standIns.tick();
    await settle();
    expect(standIns.canHold(at(front))).toBe(false);
    expect(running.size).toBe(0);
    await clock.advance(60_000);
    expect(standIns.canHold(at(front))).toBe(true);
  });

  it('hold nothing that would take more memory than they may have, or while nobody can start them', () => {
    const bytes = [front, back].reduce((sum, span) => sum + model.memoryBytes(span, 'wasm', 4), 0);
    expect(open(bytes).canHold(at(front))).toBe(true);
    expect(open(bytes - 1).canHold(at(front))).toBe(false);
    expect(
      new StandIns({ clock, registry, mostBytes: bytes, log: console, models: () => [model] }).canHold(at(front)),
    ).toBe(false);
  });
});
