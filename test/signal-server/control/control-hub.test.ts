import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { ServerMessage } from '#shared/wire/control-message.ts';
import { ControlHub, type Connected } from '../../../signal-server/control/control-hub.ts';
import type { ControlPeer } from '../../../signal-server/control/control-socket.ts';
import type { DesksEnd, FromPeer, PeerAddress } from '../../../signal-server/peer-router/control-router.ts';
import { createInProcessRouter } from '../../../signal-server/peer-router/in-process-router.ts';
import { codeOf } from '../../support/code-of.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const route = { type: 'queued', request: 1, position: 1 } as const;

describe('the control hub', () => {
  let clock: FakeClock;
  let desks: DesksEnd;
  let hub: ControlHub;
  let peers: Map<PeerId, Connected>;
  let heard: [PeerAddress, FromPeer['type']][];
  let last: FromPeer | undefined;
  let errors: unknown[];
  let forgotten: PeerId[];

  beforeEach(() => {
    clock = new FakeClock();
    const router = createInProcessRouter(clock);
    desks = router.desks;
    peers = new Map();
    [heard, errors, forgotten] = [[], [], []];
    desks.receive(
      ({ id, connection }, message) => {
        last = message;
        heard.push([{ id, connection }, message.type]);
      },
      () => undefined,
    );
    hub = new ControlHub(peers, {
      clock,
      router: router.edge,
      relay: { route: () => undefined, forget: (id) => forgotten.push(id) },
      peerMount: { drop: (id) => forgotten.push(id) },
      metrics: { controlErrors: { inc: (labels: unknown) => errors.push(labels) } as never },
    });
  });

  function join(id: PeerId): ControlPeer & { said: string[] } {
    const said: string[] = [];
    const peer = {
      ...{ id, kind: 'cli' as const, address: '192.0.2.7', client: '192.0.2.7', peerToken: '', bufferedBytes: 0, said },
      send: ({ type }: ServerMessage) => void said.push(type),
      sendFrame: () => undefined,
      fail: (code: string) => void said.push(code),
    };
    hub.onProven(peer);
    return peer;
  }

  it('tells the desks who comes, with the network and not the address', () => {
    let first: FromPeer | undefined;
    const router = createInProcessRouter(clock);
    router.desks.receive(
      (_from, message) => (first ??= message),
      () => undefined,
    );
    const deps = { route: () => undefined, forget: () => undefined, drop: () => undefined };
    const metrics = { controlErrors: { inc: () => undefined } as never };
    hub = new ControlHub(new Map(), { clock, router: router.edge, relay: deps, peerMount: deps, metrics });
    join(idOf('1'));
    expect(first).toEqual({ type: 'joined', kind: 'cli', prefix: '192.0.2.0/24', client: '192.0.2.7' });
  });

  it('takes for gone who leaves more beats unanswered than the limit, and nobody else', () => {
    const [silent, alive] = [join(idOf('1')), join(idOf('2'))];
    hub.beat(2);
    hub.onAlive(alive);
    for (let i = 0; i < 2; i++) hub.beat(2);
    expect([silent.said, alive.said]).toEqual([
      ['alive', 'alive', 'timeout'],
      ['alive', 'alive', 'alive'],
    ]);
    expect([...peers.keys()]).toEqual([alive.id]);
    expect(heard.at(-1)).toEqual([{ id: silent.id, connection: 1 }, 'left']);
    expect(last).toEqual({ type: 'left', silent: true });
  });

  it('takes nobody for gone because it stood still itself', () => {
    const peer = join(idOf('1'));
    hub.beat(2);
    clock.skip(60_000);
    hub.beat(2);
    expect(peer.said).toEqual(['alive', 'alive']);
    expect(peers.size).toBe(1);
  });

  it('gives a key that connects again another number, once the desks know that the old connection is gone', () => {
    const old = join(idOf('1'));
    join(idOf('1'));
    const [first, second] = [1, 2].map((connection) => ({ id: idOf('1'), connection }));
    expect(heard).toEqual([
      [first, 'joined'],
      [first, 'left'],
      [second, 'joined'],
    ]);
    expect(old.said).toEqual(['replaced']);
    expect(forgotten).toEqual([old.id, old.id]);
  });

  it('takes nothing from a connection that has been replaced, nor its close for the peer’s', () => {
    const old = join(idOf('1'));
    const present = join(idOf('1'));
    hub.onMessage(old, { type: 'pause' });
    hub.onClosed(old, 'replaced');
    expect(peers.get(present.id)?.peer).toBe(present);
    hub.onMessage(present, { type: 'withdraw' });
    expect(heard.slice(3)).toEqual([[{ id: present.id, connection: 2 }, 'withdraw']]);
    expect(errors).toEqual([{ code: 'replaced' }]);
  });

  it('passes an answer to the connection that asked, and to no later one', () => {
    const old = join(idOf('1'));
    desks.send({ id: old.id, connection: 1 }, route);
    const present = join(idOf('1'));
    desks.send({ id: old.id, connection: 1 }, route);
    desks.send({ id: old.id, connection: 2 }, route);
    expect([old.said, present.said]).toEqual([['queued', 'replaced'], ['queued']]);
  });

  it('closes a peer with the code that the desks give', () => {
    const peer = join(idOf('1'));
    desks.send({ id: peer.id, connection: 1 }, { type: 'error', code: 'internal', message: 'it failed' });
    expect(peer.said).toEqual(['internal']);
  });

  it('closes everybody when the desks are gone, and lets nobody in', async () => {
    const all = [join(idOf('1')), join(idOf('2'))];
    await desks.close(1000);
    expect(all.map(({ said }) => said)).toEqual([['server-lost'], ['server-lost']]);
    expect(peers.size).toBe(0);
    expect(codeOf(() => join(idOf('3')))).toBe('server-lost');
  });
});
