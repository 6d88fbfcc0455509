import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { ProgressBoard } from '#shared/requester/session/progress-board.ts';
import type { Route } from '#shared/route/route.ts';
import type { ProgressedMessage } from '#shared/wire/peer-message.ts';
import { shadowedRoute } from '../../../support/check-driver.ts';
import { toyIdentity, ToyNetwork } from '../../../support/toy-network.ts';

const route: Route = shadowedRoute(new ToyNetwork(2), toyIdentity('requester').id);
const primaries = route.stages.map(({ primary }) => primary.id);
const everyone = route.stages.flatMap(({ primary, shadows }) => [primary.id, ...shadows.map(({ id }) => id)]);
let board: ProgressBoard;
let nonce: number;

/** Everybody is linked, and was asked at 0 and answered at 10; all are asked again at 1000. */
beforeEach(() => {
  board = new ProgressBoard(route);
  for (const peer of everyone) say(peer, 0, 0, board.linked(peer, 0)!.nonce, 10);
  nonce = board.ask(board.all, 1_000)!.nonce;
});

function say(from: PeerId, received: number, sent: number, of = nonce, nowMs = 1_010): void {
  board.take(from, { type: 'progressed', session: route.session, nonce: of, step: 'open', received, sent }, nowMs);
}

/** Where rows 4 are, at this time. */
const locate = (nowMs = 1_020) => board.locate(4, 1_000, nowMs);

describe('rows that do not come back', () => {
  it('are where a stage says that it has them', () => {
    say(primaries[0]!, 5, 5);
    say(primaries[1]!, 5, 4);
    say(primaries[2]!, 4, 4);
    expect(locate()).toEqual({ type: 'held', stage: 1 });
  });

  it('are between two that contradict each other', () => {
    say(primaries[0]!, 5, 5);
    say(primaries[1]!, 4, 4);
    say(primaries[2]!, 4, 4);
    expect(locate()).toEqual({ type: 'between', stages: [0, 1] });
  });

  it.each([
    ['never came to the first stage', 4, 4, 0],
    ['were sent by the last one', 5, 5, 2],
  ])('are between the requester and a stage where they %s', (_, received, sent, stage) => {
    for (const peer of primaries) say(peer, received, sent);
    expect(locate()).toEqual({ type: 'between', stages: [stage] });
  });

  it('are with the first that says nothing, after those who passed them on', () => {
    say(primaries[0]!, 5, 5);
    say(primaries[2]!, 4, 4);
    expect(locate()).toEqual({ type: 'unclear' });
    expect(locate(1_250)).toEqual({ type: 'silent', stage: 1 });
  });

  it('are with one that cannot be asked, after those who passed them on', () => {
    board.unlinked(primaries[1]!);
    say(primaries[0]!, 5, 5);
    say(primaries[2]!, 4, 4);
    expect(locate()).toEqual({ type: 'held', stage: 1 });
  });

  it('are beyond one that says nothing where a later stage has them', () => {
    say(primaries[0]!, 5, 5);
    say(primaries[2]!, 5, 4);
    expect(locate(1_250)).toEqual({ type: 'held', stage: 2 });
  });

  it('are lost with a stage that knows no such session any more', () => {
    say(primaries[0]!, 5, 5);
    board.take(primaries[1]!, { ...unknown, nonce }, 1_010);
    expect(locate()).toEqual({ type: 'left', stage: 1 });
  });
});

const unknown: ProgressedMessage = {
  ...{ type: 'progressed', session: route.session, nonce: 0, step: 'unknown' },
  ...{ received: 0, sent: 0 },
};

describe('a replica', () => {
  it('has a second for its first answer, and then three times its distance, a quarter of a second at least', () => {
    const fresh = new ProgressBoard(route);
    fresh.linked(primaries[0]!, 0);
    const [reporter] = fresh.all;
    expect([fresh.isSilent(reporter!, 999), fresh.isSilent(reporter!, 1_000)]).toEqual([false, true]);
    const [known] = board.all;
    expect([board.isSilent(known!, 1_249), board.isSilent(known!, 1_250)]).toEqual([false, true]);
  });

  it('is not far away by its own word alone', () => {
    expect(board.distanceMs).toBe(10);
    say(primaries[0]!, 4, 4, nonce, 1_900);
    expect(board.distanceMs).toBe(10);
  });

  it('that answers what it was not asked says nothing', () => {
    say(primaries[1]!, 5, 4, nonce + 1);
    expect(locate()).toEqual({ type: 'unclear' });
  });

  it('that has answered is silent from the next question on that it leaves open', () => {
    say(primaries[0]!, 4, 4);
    expect(board.isSilent(board.all[0]!, 9_000)).toBe(false);
    board.ask(board.all, 1_125);
    expect([board.isSilent(board.all[0]!, 1_374), board.isSilent(board.all[0]!, 1_375)]).toEqual([false, true]);
  });
});
