import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { textOf } from '#shared/text/prompt.ts';
import { ShapeMemory } from '../../../signal-server/hidden/hidden-shape.ts';
import { PromptStock } from '../../../signal-server/hidden/prompt-stock.ts';
import { wrenGatewayText, wrenText } from '../../support/wren-text.ts';

const stock = (): PromptStock => new PromptStock(wrenGatewayText, 1_000, () => 0.5);

describe('prompts of hidden sessions', () => {
  it('go on from where a message would stand, and stand there in a chat', async () => {
    const one = stock();
    const opening = wrenText.decode(await one.opening());
    one.add('  How do birds keep warm?  ');
    const { prompt, promptTokens } = await one.take(200);
    expect(prompt).toEqual(wrenText.chatPrompt([{ role: 'user', content: 'How do birds keep warm?' }]));
    expect(promptTokens).toEqual(wrenText.encodePrompt(prompt!));
    expect(wrenText.decode(promptTokens).startsWith(opening)).toBe(true);
  });

  it('are used once, and are of tokens by chance where there is no text', async () => {
    const one = stock();
    one.add('first');
    one.add('second');
    expect(textOf((await one.take(100)).prompt!)).toContain('first');
    expect(textOf((await one.take(100)).prompt!)).toContain('second');
    const { prompt, promptTokens } = await one.take(20);
    expect([prompt, promptTokens.length]).toEqual([null, 20]);
    expect(one.isShort).toBe(true);
  });

  it('are whole messages, and longer ones go on with the conversation before', async () => {
    const one = stock();
    const turns = ['What do wrens eat?', 'Where do they live in winter?', 'And owls?'];
    one.add(turns[0]!);
    const { prompt } = await one.take(15);
    expect(prompt).toEqual(wrenText.chatPrompt([{ role: 'user', content: turns[0]! }]));
    one.answered('Insects.');
    const chat = [
      { role: 'user', content: turns[0]! },
      { role: 'assistant', content: 'Insects.' },
      { role: 'user', content: turns[1]! },
    ];
    one.add(turns[1]!);
    expect((await one.take(100)).prompt).toEqual(wrenText.chatPrompt(chat));
    one.answered('Near houses.');
    one.add(turns[2]!);
    // There is no room for so much.
    expect((await one.take(15)).prompt).toEqual(wrenText.chatPrompt([{ role: 'user', content: turns[2]! }]));
  });

  it('go on with that conversation with which they come nearest to the length asked for', async () => {
    const one = stock();
    const ask = async (content: string, answer: string, length: number) => {
      one.add(content);
      const { prompt } = await one.take(length);
      one.answered(answer);
      return prompt;
    };
    await ask('Owls?', 'Yes.', 10);
    const long = 'Wrens build several nests of moss and leaves in spring, and the hen chooses one of them.';
    await ask('Tell me of nests.', long, 10);
    const chat = (...contents: string[]) =>
      wrenText.chatPrompt(contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })));
    expect(await ask('And?', 'More.', 100)).toEqual(chat('Tell me of nests.', long, 'And?'));
    expect(await ask('When?', 'At night.', 24)).toEqual(chat('Owls?', 'Yes.', 'When?'));
    expect(await ask('Again?', 'Once.', 200)).toEqual(chat('Tell me of nests.', long, 'And?', 'More.', 'Again?'));
  });

  it('have that text of several with which they come nearest to it', async () => {
    const one = stock();
    const texts = ['Why?', 'How do wrens keep warm in the long nights of winter?', 'What is a nest made of?'];
    for (const text of texts) one.add(text);
    const length = wrenText.encodePrompt(wrenText.chatPrompt([{ role: 'user', content: texts[1]! }])).length;
    for (const content of [texts[1]!, texts[2]!, texts[0]!])
      expect((await one.take(length)).prompt).toEqual(wrenText.chatPrompt([{ role: 'user', content }]));
  });

  it('go on only with a conversation that was answered', async () => {
    const one = stock();
    one.answered('Nobody asked.');
    one.add('first');
    one.add('second');
    for (const content of ['first', 'second']) {
      expect((await one.take(100)).prompt).toEqual(wrenText.chatPrompt([{ role: 'user', content }]));
    }
  });

  it('keep no empty text', () => {
    const one = stock();
    for (let i = 0; i < 4; i++) one.add(' \n');
    expect(one.isShort).toBe(true);
    for (let i = 0; i < 4; i++) one.add(`text ${i}`);
    expect(one.isShort).toBe(false);
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
    memory.remember({ ...shape, answerTokens: 513 });
    memory.remember({ ...shape, promptTokens: 1_001 });
    expect(memory.draw()).not.toMatchObject({ topP: 0.9 });
    for (let i = 0; i < 32; i++) memory.remember(shape);
    expect(memory.draw()).toEqual(shape);
  });
});
