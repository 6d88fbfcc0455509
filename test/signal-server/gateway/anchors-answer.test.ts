import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { digestSchema, peerIdSchema, sessionIdSchema } from '#shared/ids.ts';
import { startAnchoredServer, type AnchoredServer } from '../../support/anchored-server.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { continued } from '../../support/prompts.ts';
import { wrenText } from '../../support/wren-text.ts';

const provenanceSchema = z.object({
  chorus: z.strictObject({
    tier: z.literal('checked'),
    session: sessionIdSchema,
    earlier: z.array(z.unknown()),
    readers: z.int().positive(),
    receipt: z.strictObject({ id: digestSchema, url: z.string(), salt: z.string() }),
    checks: z.object({ chunks: z.int().min(1), positions: z.int().min(1), worst: z.object({ max: z.number() }) }),
    stages: z.array(
      z.strictObject({ start: z.int(), end: z.int(), primary: peerIdSchema, shadows: z.array(peerIdSchema) }),
    ),
  }),
});

const question = [{ role: 'user' as const, content: 'What is the capital of France?' }];
const story = [{ role: 'user' as const, content: 'Tell me a story about a fox.' }];
const ask = { model: 'wren', messages: question, temperature: 0 };
const tell = { model: 'wren', messages: story, temperature: 0, max_tokens: 60 };

const golden = readGoldenAnswers();
let network: AnchoredServer;
let client: OpenAI;
const ready = () => network.server.snapshot().volunteers.filter(({ state }) => state === 'ready').length;

beforeAll(async () => {
  network = await startAnchoredServer(4);
  client = network.client;
}, 120_000);
afterAll(() => network.stop());

describe('the API in front of anchors', { timeout: 120_000 }, () => {
  it('offers the model', async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['wren']);
  });

  it('gives the answer of the uncut model, made by at least two volunteers', async () => {
    const answer = await client.chat.completions.create(ask);
    const text = answer.choices[0]?.message.content ?? '';
    expect(text).toBe(golden.answer(question, 64));
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    const { stages } = provenanceSchema.parse(answer).chorus;
    expect(new Set(stages.map(({ primary }) => primary)).size).toBeGreaterThanOrEqual(2);
    expect(stages[0]?.start).toBe(0);
    expect(stages.at(-1)?.end).toBe(8);
    expect(answer.usage).toEqual({
      prompt_tokens: golden.chat(question).length,
      completion_tokens: wrenText.encode(text).length,
      total_tokens: golden.chat(question).length + wrenText.encode(text).length,
    });
  });

  it('streams the same text, stages and usage', async () => {
    const stream = await client.chat.completions.create({
      ...tell,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(golden.answer(story, 60));
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('length');
    expect(provenanceSchema.parse(chunks.at(-2)).chorus.stages.length).toBeGreaterThanOrEqual(2);
    expect(chunks.at(-1)?.usage).toMatchObject({
      prompt_tokens: golden.chat(story).length,
      completion_tokens: 60,
    });
  });

  it('completes plain text and tokens alike, streaming and not', async () => {
    const prompt = continued.text;
    const tokens = wrenText.encode(prompt);
    const expected = wrenText.decode(golden.greedy(tokens, continued.count));
    const request = { model: 'wren', temperature: 0 };
    for (const each of [prompt, tokens]) {
      const answer = await client.completions.create({ ...request, prompt: each });
      expect(answer.choices[0]).toMatchObject({ text: expected, finish_reason: 'length' });
      expect(answer.usage).toMatchObject({ prompt_tokens: tokens.length, completion_tokens: 16 });
    }
    let text = '';
    for await (const chunk of await client.completions.create({ ...request, prompt, stream: true })) {
      text += chunk.choices[0]?.text ?? '';
    }
    expect(text).toBe(expected);
  });

  it('repeats itself with the same seed and varies with others', async () => {
    const tellWith = async (seed: number) =>
      (await client.chat.completions.create({ ...tell, max_tokens: 20, temperature: 1, seed })).choices[0]?.message
        .content;
    const told = [await tellWith(1), await tellWith(1), await tellWith(2), await tellWith(3)];
    expect(told[1]).toBe(told[0]);
    expect(new Set(told).size).toBeGreaterThan(1);
  });

  it('ends before a stop string, though it spans tokens', async () => {
    const whole = golden.answer(story, 60);
    const stop = whole.slice(30, 44);
    const answer = await client.chat.completions.create({ ...tell, stop: ['never said', stop] });
    expect(answer.choices[0]).toMatchObject({
      message: { content: whole.slice(0, whole.indexOf(stop)) },
      finish_reason: 'stop',
    });
  });

  it('ends the session of a client that leaves', async () => {
    const aborter = new AbortController();
    const stream = await client.chat.completions.create({ ...tell, stream: true }, { signal: aborter.signal });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    aborter.abort();
    await expect.poll(() => network.server.snapshot().sessions.running).toBe(0);
  });

  it('refuses what the model has no room for', async () => {
    const error: unknown = await client.chat.completions
      .create({ ...tell, max_tokens: 512 })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ code: 'context_length_exceeded' });
  });

  it('goes on with the same text when a compute thread dies in the middle', async () => {
    const failedBefore = network.server.snapshot().sessions.failed;
    const failed = () => network.server.snapshot().sessions.failed - failedBefore;
    // Nothing fails where it was the thread of a shadow: then another is ended.
    for (let ended = 0; ended < 5 && failed() === 0; ended++) {
      await expect.poll(ready, { timeout: 50_000 }).toBe(4);
      // The prompt takes a few runs, and each of the 60 tokens one.
      network.endThreadAtRun(30);
      const stream = await client.chat.completions.create({ ...tell, stream: true });
      let text = '';
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
      expect(text).toBe(golden.answer(story, 60));
    }
    expect(failed()).toBe(1);
  });

  it('has the lost thread replaced', async () => {
    await expect.poll(ready, { timeout: 50_000 }).toBe(4);
  });
});

describe('the API with nobody behind it', () => {
  it('says that no volunteer holds the model, streaming or not', async () => {
    const empty = await startAnchoredServer(0);
    try {
      for (const stream of [false, true]) {
        const error: unknown = await empty.client.chat.completions
          .create({ ...ask, stream })
          .catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(OpenAI.InternalServerError);
        expect(error).toMatchObject({ status: 503, code: 'no_coverage' });
      }
    } finally {
      await empty.stop();
    }
  });
});
