import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { MAX_POSITIONS, MAX_BACKLOG_BYTES } from '#shared/limits.ts';
import type { Seat } from '#shared/replica/admission.ts';
import { Onward } from '#shared/replica/onward.ts';
import type { ReplicaSessionEffect } from '#shared/replica/replica-event.ts';
import { messageBytes } from '#shared/wire/backlog.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';

const session = '0'.repeat(32) as SessionId;
const [upstream, next, slow, quick] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64) as PeerId);
const seat: Seat = {
  stage: 0,
  stages: 2,
  role: 'primary',
  requester: upstream!,
  upstream: upstream!,
  forward: { peer: next!, webrtc: true, stage: 1, isRequester: false },
  shadows: [slow!, quick!].map((peer) => ({ peer, webrtc: true })),
};
const rows: PeerMessage = rowsMessage({
  session,
  stage: 1,
  epoch: 0,
  sequence: 0,
  chunk: 0,
  logitsFrom: MAX_POSITIONS,
  rows: { kind: 'hidden', start: 0, count: 1, bytes: new Uint8Array(1024 * 1024) },
  hops: [],
});
/** As many as may wait. */
const most = Math.floor(MAX_BACKLOG_BYTES / messageBytes(rows));

let effects: ReplicaSessionEffect[];
let onward: Onward;
beforeEach(() => {
  effects = [];
  onward = new Onward(session, seat, (effect) => effects.push(effect));
});

const sentTo = (peer: PeerId) =>
  effects.flatMap((effect) =>
    (effect.type === 'send' || effect.type === 'send-counted') && effect.to === peer ? [effect.message] : [],
  );

describe('what goes on to the next stage', () => {
  it('asks for every link, and counts on the primary’s only', () => {
    onward.connect();
    expect(effects.map((effect) => effect.type === 'connect' && effect.peer)).toEqual([next, slow, quick]);
    expect(onward.connected(slow!, 'relay')).toBe(false);
    expect(onward.connected(next!, 'webrtc')).toBe(true);
    expect(onward.transport).toBe('webrtc');
    expect(onward.volunteer).toBe(next);
  });

  it('goes to the primary at once, and to a shadow when its link is there, in order', () => {
    onward.send(rows);
    onward.connected(quick!, 'webrtc');
    onward.send(rows);
    expect([sentTo(next!).length, sentTo(slow!).length, sentTo(quick!).length]).toEqual([2, 0, 2]);
    expect(sentTo(quick!)).toEqual(sentTo(next!));
  });

  it('does not pile up for a shadow that takes nothing, and goes on to the others', () => {
    for (const peer of [slow!, quick!]) onward.connected(peer, 'webrtc');
    for (let i = 0; i < most + 3; i++) {
      onward.send(rows);
      onward.sent(quick!, messageBytes(rows));
    }
    expect(sentTo(slow!)).toHaveLength(most + 1);
    expect(sentTo(slow!).at(-1)).toEqual({ type: 'close', session, reason: 'too far behind what it was sent' });
    expect(sentTo(next!)).toHaveLength(most + 3);
    expect(sentTo(quick!)).toHaveLength(most + 3);
  });

  it('does not pile up for a shadow whose link does not come', () => {
    for (let i = 0; i < most + 1; i++) onward.send(rows);
    expect(onward.connected(slow!, 'webrtc')).toBe(false);
    expect(sentTo(slow!)).toEqual([]);
  });
});
