import { describe, expect, it } from 'vitest';
import { merge } from '../../../signal-server/gateway/merge-answers.ts';

/** A source that gives its letters, and counts itself among those that run. */
async function* letters(text: string, running: Set<string>): AsyncGenerator<string, void, undefined> {
  running.add(text);
  try {
    for (const letter of text) {
      await Promise.resolve();
      yield letter;
    }
  } finally {
    running.delete(text);
  }
}

describe('the values of several answers', () => {
  it('come whole and in order, each with the number of its answer', async () => {
    const running = new Set<string>();
    const texts = ['', '', ''];
    const sources = ['wren', 'owl', 'a'].map((text) => letters(text, running));
    for await (const { index, value } of merge(sources, 2, () => undefined)) texts[index] += value;
    expect(texts).toEqual(['wren', 'owl', 'a']);
    expect(running.size).toBe(0);
  });

  it('come of no more answers at once than asked for', async () => {
    const running = new Set<string>();
    let most = 0;
    const sources = ['aa', 'bb', 'cc', 'dd', 'ee'].map((text) => letters(text, running));
    for await (const _ of merge(sources, 2, () => undefined)) most = Math.max(most, running.size);
    expect(most).toBe(2);
  });

  it('end with the first failure, which ends the others', async () => {
    const aborter = new AbortController();
    async function* waiting(): AsyncGenerator<string, void, undefined> {
      yield 'a';
      await new Promise<void>((_, reject) =>
        aborter.signal.addEventListener('abort', () => reject(new Error('ended'))),
      );
    }
    async function* failing(): AsyncGenerator<string, void, undefined> {
      yield 'b';
      throw new Error('no volunteers');
    }
    const read = async () => {
      for await (const _ of merge([waiting(), failing()], 2, () => aborter.abort()));
    };
    await expect(read()).rejects.toThrow('no volunteers');
    expect(aborter.signal.aborted).toBe(true);
  });

  it('end all answers where nobody wants more', async () => {
    const running = new Set<string>();
    let isAborted = false;
    const sources = ['wren', 'owl'].map((text) => letters(text, running));
    for await (const _ of merge(sources, 2, () => (isAborted = true))) break;
    expect([isAborted, running.size]).toEqual([true, 0]);
  });
});
