import { Peer } from 'peerjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fenceIntroductions } from '../../../web/network/introductions.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const src = 'ab'.repeat(32);
const offer = (change: object = {}, payload: object = {}): object => ({
  type: 'OFFER',
  src,
  payload: {
    type: 'data',
    serialization: 'raw',
    connectionId: `dc_${Math.random()}`,
    reliable: true,
    sdp: { type: 'offer', sdp: 'v=0\r\n' },
    ...payload,
  },
  ...change,
});

describe('introductions to PeerJS', () => {
  let peer: Peer;
  let clock: FakeClock;
  let incoming = 0;
  let unopened = 0;
  /** The way in which PeerJS takes a message of its socket. */
  const deliver = (message: object): void =>
    void (peer.socket as unknown as EventTarget & { emit(type: string, message: object): void }).emit(
      'message',
      message,
    );
  beforeEach(() => {
    // A port that browsers never connect to: the socket is only spoken for.
    peer = new Peer('cd'.repeat(32), { host: '127.0.0.1', port: 9, path: '/', secure: false, config: {} });
    clock = new FakeClock();
    incoming = 0;
    unopened = 0;
    peer.on('connection', () => incoming++);
    fenceIntroductions(peer, clock, () => unopened);
  });
  afterEach(() => peer.destroy());

  it('pass a sound offer on', () => {
    deliver(offer());
    expect(incoming).toBe(1);
  });

  it.each([
    ['from an id that is no key', offer({ src: 'somebody' })],
    ['for a call', offer({}, { type: 'media' })],
    ['with another serializer', offer({}, { serialization: 'binary' })],
    ['with a serializer that does not exist', offer({}, { serialization: 'constructor' })],
    ['without a description', offer({}, { sdp: undefined })],
    ['with a description of a megabyte', offer({}, { sdp: { type: 'offer', sdp: 'x'.repeat(1e6) } })],
    ['of an unknown kind', { type: 'SHUTDOWN', src }],
  ])('keep out an offer %s', (_, message) => {
    deliver(message);
    expect(incoming).toBe(0);
  });

  it('keep out more offers than a burst, until time has passed', async () => {
    for (let i = 0; i < 100; i++) deliver(offer());
    expect(incoming).toBe(30);
    await clock.advance(1000);
    for (let i = 0; i < 100; i++) deliver(offer());
    expect(incoming).toBe(32);
  });

  it('keep out offers while many are on their way', () => {
    unopened = 32;
    deliver(offer());
    expect(incoming).toBe(0);
  });

  it('store nothing for connections that do not exist', () => {
    for (let i = 0; i < 10; i++) deliver({ type: 'CANDIDATE', src, payload: { connectionId: `x${i}`, candidate: {} } });
    expect((peer as unknown as { _lostMessages: Map<string, unknown> })._lostMessages.size).toBe(0);
  });
});
