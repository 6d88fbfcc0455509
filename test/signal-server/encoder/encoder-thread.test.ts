import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { createEncoderThread, type EncoderThread } from '../../../signal-server/encoder/encoder-thread.ts';
import { codeOfAsync } from '../../support/code-of.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { realClock } from '../../support/real-clock.ts';
import { wrenText } from '../../support/wren-text.ts';

const model = 'a'.repeat(64) as Digest;
const broken = 'b'.repeat(64) as Digest;
let reads = 0;
const read = async (name: string) => new Uint8Array(await readFile(`models/wren/${name}`));
const readFiles = async () => {
  reads += 1;
  return { tokenizer: await read('tokenizer.json'), config: await read('tokenizer_config.json') };
};
const messages = [{ role: 'user', content: 'Why do birds sing?<|im_end|>' }];
const chat = { model, readFiles, source: { type: 'messages' as const, messages }, most: 512 };
const plain = (text: string, most = 512) => ({
  ...{ model, readFiles, most },
  source: { type: 'text' as const, text, hasMarkers: false },
});

describe('the thread that reads prompts', () => {
  let encoder: EncoderThread;
  beforeAll(() => (encoder = createEncoderThread(realClock)));
  afterAll(() => encoder.stop());

  it('gives the tokens that the model’s text gives, and is told its files once', async () => {
    const prompt = wrenText.chatPrompt(messages);
    const tokens = wrenText.encodePrompt(prompt);
    expect(await encoder.encode(chat)).toMatchObject({ prompt, tokens });
    expect(await encoder.encode({ ...chat, source: prompt })).toMatchObject({ prompt, tokens });
    expect(reads).toBe(1);
  });

  it('refuses with the codes of the model’s text', async () => {
    const refusals = [
      plain('漢'.repeat(100_000)),
      { ...plain('a'), model: broken, readFiles: () => Promise.reject(new ChorusError('not-found', '')) },
    ];
    expect(await Promise.all(refusals.map((task) => codeOfAsync(encoder.encode(task))))).toEqual([
      'too-long',
      'not-found',
    ]);
    const noFiles = { tokenizer: new Uint8Array(), config: new Uint8Array() };
    const unreadable = { ...plain('a'), model: broken, readFiles: () => Promise.resolve(noFiles) };
    expect(await codeOfAsync(encoder.encode(unreadable))).toBe('bad-model');
    // What was wrong once may be right the next time.
    expect((await encoder.encode({ ...unreadable, readFiles })).tokens.length).toBe(1);
  });

  it('leaves this thread to others while it reads a long one', async () => {
    let [turns, isRead] = [0, false];
    const turn = (): void => {
      turns += 1;
      if (!isRead) setImmediate(turn);
    };
    turn();
    const { tokens } = await encoder.encode(plain('漢字'.repeat(20_000), Infinity));
    isRead = true;
    expect(tokens.length).toBeGreaterThan(40_000);
    // Read here, it would be a single one.
    expect(turns).toBeGreaterThan(50);
  });
});

describe('a thread that is lost', () => {
  it('fails the prompt that took too long, and reads the next in a new one', async () => {
    const clock = new FakeClock();
    const encoder = createEncoderThread(clock, 1_000);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const late = codeOfAsync(encoder.encode(plain('漢'.repeat(500_000), Infinity)));
    const next = encoder.encode({ ...plain('a'), readFiles: () => held.then(readFiles) });
    await expect.poll(() => clock.pendingTimers).toBe(1);
    await clock.advance(1_000);
    expect(await late).toBe('timeout');
    release();
    expect((await next).tokens).toEqual(wrenText.encode('a'));
    encoder.stop();
  });

  it('ends what waits with cancelled when it is stopped', async () => {
    const encoder = createEncoderThread(realClock);
    const asked = [encoder.encode(plain('a')), encoder.encode(plain('b'))].map(codeOfAsync);
    encoder.stop();
    expect(await Promise.all([...asked, codeOfAsync(encoder.encode(plain('c')))])).toEqual(Array(3).fill('cancelled'));
  });
});
