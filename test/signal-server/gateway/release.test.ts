import { readersOf } from '#shared/route/readers.ts';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '#shared/ids.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { chat, play, route, routed, startScripted, type ScriptedGateway } from '../../support/scripted-gateway.ts';
import { checkedEvent, endEvent, findingOf, tokenEvent } from '../../support/verdicts.ts';

let gateway: ScriptedGateway | undefined;
afterEach(() => gateway?.stop());
const start = async (...args: Parameters<typeof startScripted>) => (gateway = await startScripted(...args));

const streamed = { ...chat, stream: true as const };
/** As the official client sends what the API of its maker does not have. */
const early = { ...streamed, chorus: { release: 'early' } };

const say = (text: string, from = 3): AnswerEvent[] => [...text].map((c, i) => tokenEvent(from + i, c.charCodeAt(0)));
const rerouted = (from: number): AnswerEvent => ({
  type: 'rerouted',
  reason: 'a volunteer left',
  volunteer: null,
  from,
});
const bare: AnswerEvent = {
  ...routed,
  route: { ...route, stages: route.stages.map((stage) => ({ ...stage, shadows: [] })) },
} as AnswerEvent;

/** The pieces of text that came, and what ended the stream. */
async function read(stream: AsyncIterable<OpenAI.ChatCompletionChunk>) {
  const pieces: string[] = [];
  let last: unknown;
  try {
    for await (const chunk of stream) {
      last = chunk;
      const text = chunk.choices[0]?.delta.content ?? '';
      if (text !== '') pieces.push(text);
    }
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { pieces, code: error.code };
  }
  return { pieces, last };
}

describe('what the gateway gives out, and when', () => {
  it('streams text chunk by chunk as the checks come', async () => {
    const { client } = await start(
      play(
        routed,
        ...say('abcd'),
        checkedEvent(0, 4),
        ...say('ef', 7),
        checkedEvent(4, 6),
        checkedEvent(6, 8),
        endEvent(6),
      ),
    );
    expect((await read(await client.chat.completions.create(streamed))).pieces).toEqual(['ab', 'cd', 'ef']);
  });

  it('streams at once what is asked for early, and ends with the verdict', async () => {
    const spans = { tier: 'settled', spans: 2 } as const;
    const { client } = await start(play(routed, ...say('abc'), checkedEvent(0, 6), endEvent(3, spans)));
    const { pieces, last } = await read(await client.chat.completions.create(early));
    expect(pieces).toEqual(['a', 'b', 'c']);
    expect(last).toMatchObject({ chorus: { tier: 'settled', checks: { chunks: 2, settled: 2, positions: 6 } } });
  });

  it('ends an early stream with `retracted` if its text was wrong, and goes on if it was not', async () => {
    const begun = [routed, ...say('abc'), rerouted(4), routed];
    const { client } = await start(play(...begun, ...say('bX', 4), checkedEvent(0, 6), endEvent(3)));
    expect(await read(await client.chat.completions.create(early))).toEqual({
      pieces: ['a', 'b', 'c'],
      code: 'retracted',
    });
    gateway?.stop();
    const again = await start(play(...begun, ...say('bcd', 4), checkedEvent(0, 7), endEvent(4)));
    const { pieces, last } = await read(await again.client.chat.completions.create(early));
    expect(pieces.join('')).toBe('abcd');
    expect(last).toMatchObject({ chorus: { tier: 'checked' } });
  });

  it.each([false, true])('shows only what another route made in place of what failed (stream: %s)', async (stream) => {
    const second = { ...route, session: 'cd'.repeat(16) as SessionId };
    const volunteer = '1'.repeat(64) as PeerId;
    const fault = {
      volunteer,
      stage: 0,
      role: 'primary',
      code: 'disagreement',
      start: 4,
      end: 6,
      isProven: true,
    } as const;
    const { client } = await start(
      play(
        ...[routed, ...say('aXYZ'), checkedEvent(0, 3), { type: 'fault', ...fault } as const, rerouted(4)],
        ...[
          { ...routed, route: second } as AnswerEvent,
          ...say('bc', 4),
          checkedEvent(0, 5),
          endEvent(3, { spans: 2 }),
        ],
      ),
    );
    const whole = stream ? null : await client.chat.completions.create(chat);
    const { pieces, last } = whole
      ? { pieces: [whole.choices[0]?.message.content], last: whole }
      : await read(await client.chat.completions.create(streamed));
    expect(pieces.join('')).toBe('abc');
    expect(last).toMatchObject({
      chorus: {
        tier: 'checked',
        session: second.session,
        earlier: [{ session: route.session }],
        readers: readersOf([route, second]).size,
        checks: { positions: 5, faults: [{ volunteer, stage: 0, code: 'disagreement', proven: true }] },
      },
    });
  });

  it.each([false, true])(
    'answers unchecked, and says so, where each stage has one replica (stream: %s)',
    async (stream) => {
      const { client } = await start(play(bare, ...say('ab'), endEvent(2, { tier: 'unchecked' })));
      const chorus = { tier: 'unchecked', checks: { unchecked: 1, checked: 0, worst: null } };
      if (!stream) {
        const answer = await client.chat.completions.create(chat);
        expect(answer).toMatchObject({ choices: [{ message: { content: 'ab' } }], chorus });
        return;
      }
      const { pieces, last } = await read(await client.chat.completions.create(streamed));
      expect(pieces).toEqual(['a', 'b']);
      expect(last).toMatchObject({ chorus });
    },
  );

  it.each([false, true])(
    'gives an error and no text for an answer that nobody could settle (stream: %s)',
    async (stream) => {
      const { client } = await start(
        play(routed, ...say('ab'), checkedEvent(0, 5, 'disputed'), endEvent(2, { tier: 'disputed' })),
      );
      const asked: unknown = await client.chat.completions.create({ ...chat, stream }).catch((error: unknown) => error);
      expect(asked).toMatchObject({ status: 503, code: 'check_failed' });
    },
  );

  it('reports the largest differences between replicas', async () => {
    const spans = [
      checkedEvent(0, 3, 'checked', [findingOf(0.002)]),
      checkedEvent(3, 5, 'checked', [findingOf(0.001)]),
    ];
    const { client } = await start(play(routed, ...say('ab'), ...spans, endEvent(2, { spans: 2 })));
    expect(await client.chat.completions.create(chat)).toMatchObject({
      chorus: { checks: { chunks: 2, checked: 2, worst: { median: 0.002, p95: 0.002, max: 0.002, bias: 0.002 } } },
    });
  });

  it('ends a checked stream at a stop string with the verdict on its last token', async () => {
    const { client } = await start(play(routed, ...say('ab.'), checkedEvent(0, 4), checkedEvent(4, 6), endEvent(3)));
    const { pieces, last } = await read(await client.chat.completions.create({ ...streamed, stop: '.' }));
    expect(pieces).toEqual(['ab']);
    expect(last).toMatchObject({ choices: [{ finish_reason: 'stop' }], chorus: { checks: { positions: 6 } } });
  });
});
