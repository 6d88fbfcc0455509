import { describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import type { RepeatReport } from '#shared/peer/replay/repeat-answer.ts';
import { Repeat, type RepeatDeps, type RepeatRequest } from '../../../web/state/repeat/repeat.svelte.ts';

const [one, two] = ['1', '2'].map((digit) => digit.repeat(64) as Digest) as [Digest, Digest];
const salt = new Uint8Array(32).fill(1);
const whole = { salt, tokens: [1, 2, 3] };
const report: RepeatReport = {
  ...{ isValid: true, outputs: [], isSpelt: null, goesOn: false, isPrompted: null },
  tokens: { compared: 1, equal: 1, undrawn: 0, largestGap: 0, limit: 0, beyond: 0, firstBeyond: null },
  of: { ranges: [], positions: 3, promptTokens: 2 },
};

function stand(given: Partial<RepeatDeps> = {}) {
  const requests: RepeatRequest[] = [];
  const looked: Digest[] = [];
  let nowMs = 0;
  const repeat = new Repeat({
    load: async () => async (request) => {
      requests.push(request);
      nowMs += 700;
      return report;
    },
    findKept: async (id) => (looked.push(id), null),
    clock: { nowMs: () => nowMs },
    ...given,
  });
  return { repeat, requests, looked };
}
const subject = (id: Digest, atHand = {}) => ({ id, receipt: {}, atHand });

describe('an answer that is repeated in the tab', () => {
  it('does nothing until somebody starts it', () => {
    const { repeat, requests, looked } = stand();
    repeat.turnTo(one);
    expect([repeat.status, requests.length, looked.length]).toEqual(['idle', 0, 0]);
  });

  it('ends with a report, and with how long it took', async () => {
    const { repeat, looked } = stand();
    await repeat.start(subject(one, whole));
    expect([repeat.status, repeat.report, repeat.tookMs, looked]).toEqual(['done', report, 700, []]);
  });

  it('is opened by what this browser has kept, where nothing else was given', async () => {
    const { repeat, requests } = stand({ findKept: async () => ({ ...whole, answer: 'kept' }) });
    await repeat.start(subject(one));
    expect([repeat.status, requests[0]!.atHand]).toEqual(['done', { ...whole, answer: 'kept' }]);
  });

  it.each([{}, { salt }, { salt, prompt: 'asked' }, { tokens: [1] }])(
    'asks for what is missing beside %j',
    async (given) => {
      const { repeat, requests, looked } = stand();
      await repeat.start(subject(one, given));
      expect([repeat.status, requests.length, looked]).toEqual(['missing', 0, [one]]);
    },
  );

  it('says what went wrong', async () => {
    const lost = new ChorusError('not-found', 'no such blob');
    const { repeat } = stand({ load: async () => () => Promise.reject(lost) });
    await repeat.start(subject(one, whole));
    expect([repeat.status, repeat.error]).toEqual(['failed', lost]);
  });

  it.each(['stop', 'turnTo'] as const)('is ended by %s, and shows nothing of what comes after', async (by) => {
    const requests: RepeatRequest[] = [];
    let end = (_: RepeatReport): void => undefined;
    const { repeat } = stand({
      load: async () => (request) => {
        requests.push(request);
        return new Promise((resolve) => (end = resolve));
      },
    });
    const working = repeat.start(subject(one, whole));
    await expect.poll(() => requests.length).toBe(1);
    if (by === 'stop') repeat.stop();
    else repeat.turnTo(two);
    end(report);
    await working;
    expect([requests[0]!.signal.aborted, repeat.status, repeat.report]).toEqual([true, 'idle', null]);
  });

  it('goes on while its own receipt is shown again', async () => {
    const { repeat } = stand();
    const working = repeat.start(subject(one, whole));
    repeat.turnTo(one);
    await working;
    expect(repeat.status).toBe('done');
  });
});
