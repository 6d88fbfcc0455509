import { beforeEach, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import { FrontDesk } from '../../../signal-server/desks/front-desk.ts';
import type { FromPeer, PeerAddress, ToPeer } from '../../../signal-server/peer-router/control-router.ts';
import { Registry } from '../../../signal-server/placement/registry.ts';
import { offerOf } from '../../support/control-peer.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf } from '../../support/leases.ts';

const me: PeerAddress = { id: idOf('1'), connection: 1 };
const meAgain: PeerAddress = { ...me, connection: 2 };
const other: PeerAddress = { id: idOf('2'), connection: 3 };
const joined: FromPeer = { type: 'joined', kind: 'tab', prefix: 'loopback', client: null };

describe('the front desk', () => {
  let registry: Registry;
  let front: FrontDesk;
  let own: Set<PeerId>;
  let calls: string[];
  let recorded: PeerId[];
  let sent: [PeerAddress, ToPeer][];
  let errors: unknown[];
  let fault: Error | null;

  beforeEach(() => {
    registry = new Registry(new FakeClock());
    [calls, recorded, sent, errors, fault] = [[], [], [], [], null];
    own = new Set();
    const receive = (desk: string) => ({
      receive(member: { id: PeerId }, { type }: { type: string }) {
        calls.push(`${desk} ${type} ${member.id[0]}`);
        if (fault !== null) throw fault;
      },
    });
    front = new FrontDesk({
      send: (to, message) => sent.push([to, message]),
      registry,
      admission: { lets: () => true, receive: () => undefined, left: () => undefined },
      routes: { ...receive('routes'), left: (id) => calls.push(`routes left ${id[0]}`) },
      volunteers: { ...receive('volunteers'), left: () => calls.push('volunteers left') },
      draws: receive('draws'),
      replays: receive('replays'),
      reports: receive('reports'),
      claims: receive('claims'),
      isOwn: (id) => own.has(id),
      onSilent: (id) => calls.push(`silent ${id[0]}`),
      onVolunteer: (id) => recorded.push(id),
      onError: (error) => errors.push(error),
    });
  });

  it('has on its roll who has joined and has not left', () => {
    front.receive(me, joined);
    front.receive(other, joined);
    front.receive(me, { type: 'left' });
    expect(registry.members).toMatchObject([{ ...other, kind: 'tab', prefix: 'loopback' }]);
    expect(calls).toEqual(['routes left 1', 'volunteers left']);
  });

  it('says of whom the edge took for gone that it was silent, while it is still on the roll', () => {
    front.receive(me, joined);
    front.receive(me, { type: 'left', silent: true });
    expect(calls).toEqual(['silent 1', 'routes left 1', 'volunteers left']);
  });

  it.each(['anchor', 'gateway'] as const)('believes that a peer is an %s of the server’s own keys alone', (kind) => {
    own.add(me.id);
    for (const peer of [me, other]) front.receive(peer, { ...joined, kind });
    expect(registry.members.map((member) => member.kind)).toEqual([kind, 'cli']);
  });

  it('has who joins again leave first', () => {
    front.receive(me, joined);
    front.receive(me, offerOf());
    front.receive(meAgain, joined);
    expect(calls.slice(1)).toEqual(['routes left 1', 'volunteers left']);
    expect(registry.members).toMatchObject([{ ...meAgain, volunteer: null }]);
  });

  it('takes neither a message nor the leaving of an old connection for the new one’s', () => {
    for (const address of [me, meAgain]) front.receive(address, joined);
    calls = [];
    front.receive(me, { type: 'pause' });
    front.receive(me, { type: 'left' });
    expect(calls).toEqual([]);
    expect(registry.get(me.id)?.connection).toBe(2);
  });

  it('puts a volunteer on record once for each connection', () => {
    for (const address of [me, meAgain]) {
      front.receive(address, joined);
      for (let i = 0; i < 3; i++) front.receive(address, offerOf());
    }
    expect(recorded).toEqual([me.id, me.id]);
  });

  it('closes the connection whose message makes a desk fail, and keeps the fault to itself', () => {
    for (const address of [me, other]) front.receive(address, joined);
    fault = new Error('a secret of the disk');
    front.receive(me, { type: 'pause' });
    const said = { type: 'error', code: 'internal', message: 'the server failed on this message' };
    expect(sent).toEqual([[me, said]]);
    expect(errors).toEqual([fault]);
    fault = null;
    front.receive(other, { type: 'pause' });
    expect(calls.at(-1)).toBe('volunteers pause 2');
  });

  it('tells a peer the fault that is its own', () => {
    front.receive(me, joined);
    fault = new ChorusError('rate-limited', 'x'.repeat(600));
    front.receive(me, { type: 'pause' });
    expect(sent).toEqual([[me, { type: 'error', code: 'rate-limited', message: 'x'.repeat(500) }]]);
    expect(errors).toEqual([]);
  });
});
