import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { type TextRelease, ReleasedText } from '#shared/requester/engine/released-text.ts';
import type { Route } from '#shared/route/route.ts';
import type { TextWriter } from '#shared/text/model-text.ts';
import { StopStrings } from '#shared/text/stop-strings.ts';
import { codeOf } from '../../../support/code-of.ts';
import { checkedEvent, endEvent, tokenEvent } from '../../../support/verdicts.ts';

/** Tokens are the codes of characters. */
const writerUpTo = (stop: readonly string[]) => (): TextWriter => {
  const stops = new StopStrings(stop);
  return {
    push: (token) => stops.push(String.fromCharCode(token)),
    get isStopped() {
      return stops.isStopped;
    },
    end: () => stops.end(),
  };
};

const routed = (...shadows: number[]): AnswerEvent => ({
  type: 'routed',
  route: { stages: shadows.map((count) => ({ shadows: Array(count).fill({}) as unknown[] })) } as unknown as Route,
  links: [],
});
const say = (text: string, from: number) => [...text].map((c, i) => tokenEvent(from + i, c.charCodeAt(0)));
const rerouted = (from: number): AnswerEvent => ({ type: 'rerouted', reason: 'left', volunteer: null, from });

/** The text that is given out with each event, after a prompt of three tokens. */
function give(release: TextRelease, events: readonly AnswerEvent[], stop: readonly string[] = []): string[] {
  const released = new ReleasedText(writerUpTo(stop), 3, release);
  return events.map((event) => released.take(event));
}

describe('ReleasedText', () => {
  it('gives out with each verdict the tokens up to the one sampled from the last row it covers', () => {
    const events = [routed(1, 1), ...say('abcd', 3), checkedEvent(0, 3), checkedEvent(3, 5), endEvent(4)];
    expect(give('checked', events)).toEqual(['', '', '', '', '', 'a', 'bc', 'd']);
  });

  it('gives out nothing for a verdict on the prompt alone, or for a dispute', () => {
    const events = [routed(1), ...say('ab', 3), checkedEvent(0, 2), checkedEvent(2, 4, 'disputed')];
    expect(give('checked', events).join('')).toBe('');
  });

  it('waits where only one stage has a second replica', () => {
    expect(give('checked', [routed(0, 1), ...say('a', 3), checkedEvent(0, 3, 'unchecked')])).toEqual(['', '', 'a']);
  });

  it('gives out tokens at once where no stage has a second replica', () => {
    expect(give('checked', [routed(0, 0), ...say('ab', 3)])).toEqual(['', 'a', 'b']);
  });

  it('gives out tokens at once when told so', () => {
    expect(give('early', [routed(1), ...say('ab', 3), checkedEvent(0, 4), endEvent(2)])).toEqual([
      '',
      'a',
      'b',
      '',
      '',
    ]);
  });

  it('gives out all of it at the end when told so', () => {
    expect(give('whole', [routed(0), ...say('ab', 3), checkedEvent(0, 4), endEvent(2)]).at(-1)).toBe('ab');
  });

  it('gives out nothing of what is withdrawn before its check', () => {
    const events = [
      routed(1),
      ...say('aXY', 3),
      checkedEvent(0, 3),
      rerouted(4),
      routed(1),
      ...say('bc', 4),
      endEvent(3),
    ];
    expect(give('checked', events).join('')).toBe('abc');
    expect(give('whole', events).join('')).toBe('abc');
  });

  it('gives out the token that an exact replica drew, and nothing that came after the other one', () => {
    const redrawn: AnswerEvent = { type: 'redrawn', stage: 0, volunteer: 'f'.repeat(64) as PeerId, from: 4 };
    const events = [
      routed(1),
      ...say('aXY', 3),
      redrawn,
      ...say('b', 4),
      checkedEvent(0, 4),
      ...say('c', 5),
      endEvent(3),
    ];
    expect(give('checked', events)).toEqual(['', '', '', '', '', '', 'ab', '', 'c']);
    expect(give('whole', events).join('')).toBe('abc');
    expect(codeOf(() => give('early', events))).toBe('retracted');
  });

  it('goes on without a word if what was given out comes again the same', () => {
    const events = [routed(1), ...say('abc', 3), rerouted(4), routed(1), ...say('bcd', 4), endEvent(4)];
    expect(give('early', events)).toEqual(['', 'a', 'b', 'c', '', '', '', '', 'd', '']);
  });

  it('says retracted as soon as something else comes', () => {
    const events = [routed(1), ...say('abc', 3), rerouted(4), routed(1), ...say('bX', 4)];
    expect(give('early', events.slice(0, -1)).join('')).toBe('abc');
    expect(codeOf(() => give('early', events))).toBe('retracted');
  });

  it('says retracted if the answer ends before what was given out', () => {
    const events = [routed(1), ...say('abc', 3), rerouted(4), routed(1), endEvent(1)];
    expect(codeOf(() => give('early', events))).toBe('retracted');
  });

  it('says check-failed in place of the text of an answer that nobody could settle', () => {
    const events = [routed(1), ...say('abc', 3), endEvent(3, { tier: 'disputed' })];
    expect(codeOf(() => give('checked', events))).toBe('check-failed');
  });

  it('keeps what may be the start of a stop string until its next token is checked', () => {
    const events = [routed(1), ...say('a<b', 3), checkedEvent(0, 4), checkedEvent(4, 5), endEvent(3)];
    expect(give('checked', events, ['<|'])).toEqual(['', '', '', '', 'a', '<b', '']);
  });

  it.each(['checked', 'early', 'whole'] as const)('never gives out what comes after a stop string (%s)', (release) => {
    const events = [
      routed(1),
      ...say('a.b', 3),
      rerouted(5),
      routed(1),
      ...say('b', 5),
      checkedEvent(0, 5),
      endEvent(3),
    ];
    expect(give(release, events, ['.']).join('')).toBe('a');
  });
});
