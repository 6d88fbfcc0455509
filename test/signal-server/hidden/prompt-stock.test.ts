import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeMemory } from '../../../signal-server/hidden/hidden-shape.ts';
import { PromptStock } from '../../../signal-server/hidden/prompt-stock.ts';
import { wrenText } from '../../support/wren-text.ts';

const stock = (): PromptStock => new PromptStock(wrenText, 1_000, () => 0.5);

describe('prompts of hidden sessions', () => {
  it('go on from where a message would stand, and stand there in a chat', () => {
    const one = stock();
    const opening = wrenText.decode(one.opening());
    one.add('  How do birds keep warm?  ');
    const { renderedPrompt, promptTokens } = one.take(200);
    expect(renderedPrompt).toBe(wrenText.renderChat([{ role: 'user', content: 'How do birds keep warm?' }]));
    expect(promptTokens).toEqual(wrenText.encodeRendered(renderedPrompt));
    expect(wrenText.decode(promptTokens).startsWith(opening)).toBe(true);
  });

  it('are used once', () => {
    const one = stock();
    one.add('first');
    one.add('second');
    const [a, b, c] = [one.take(100), one.take(100), one.take(20)].map(({ renderedPrompt }) => renderedPrompt);
    expect(a).toContain('first');
    expect(b).toContain('second');
    expect(c).not.toMatch(/first|second/);
    expect(one.isEmpty).toBe(true);
  });

  it('are about as long as they should be', () => {
    const text = 'The wren is a small bird that sings loudly from low bushes all the year round. '.repeat(12);
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 150 }), (length) => {
        const one = stock();
        one.add(text);
        expect(Math.abs(one.take(length).promptTokens.length - length)).toBeLessThanOrEqual(6);
      }),
      { numRuns: 50 },
    );
  });

  it('keep no empty text', () => {
    const one = stock();
    one.add(' \n');
    expect(one.isEmpty).toBe(true);
  });
});

describe('forms of hidden answers', () => {
  const shape = { promptTokens: 33, maxNewTokens: 40, answerTokens: 17, temperature: 0.7, topP: 0.9 };
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('are within what one may cost', () => {
    fc.assert(
      fc.property(fc.array(unit, { minLength: 8, maxLength: 8 }), (chances) => {
        let i = 0;
        const drawn = new ShapeMemory(() => chances[i++ % chances.length]!).draw();
        expect(drawn.promptTokens).toBeGreaterThanOrEqual(20);
        expect(drawn.promptTokens).toBeLessThanOrEqual(200);
        expect(drawn.answerTokens).toBeGreaterThanOrEqual(8);
        expect(drawn.answerTokens).toBeLessThanOrEqual(64);
        expect(drawn.maxNewTokens).toBeGreaterThanOrEqual(drawn.answerTokens);
      }),
    );
  });

  it('are those of real answers once there are enough of them, and never of one that would cost too much', () => {
    const memory = new ShapeMemory(() => 0.99);
    memory.remember({ ...shape, answerTokens: 65 });
    memory.remember({ ...shape, promptTokens: 201 });
    expect(memory.draw()).not.toMatchObject({ topP: 0.9 });
    for (let i = 0; i < 32; i++) memory.remember(shape);
    expect(memory.draw()).toEqual(shape);
  });
});
