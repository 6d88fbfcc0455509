import { readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { openModelText, type ChatMessage } from '#shared/text/model-text.ts';
import { textOf } from '#shared/text/prompt.ts';
import { codeOf } from '../../support/code-of.ts';

const file = (name: string) => new Uint8Array(readFileSync(`models/wren/${name}`));
const tokenizerFile = file('tokenizer.json');
const text = openModelText(tokenizerFile, file('tokenizer_config.json'));
const tokenizer = new Tokenizer(
  JSON.parse(readFileSync('models/wren/tokenizer.json', 'utf8')) as object,
  JSON.parse(readFileSync('models/wren/tokenizer_config.json', 'utf8')) as object,
);
const chat = (messages: readonly ChatMessage[]) => text.encodePrompt(text.chatPrompt(messages));
const withConfig = (config: object) => openModelText(tokenizerFile, utf8(JSON.stringify(config)));

function write(tokens: readonly number[], stop: readonly string[] = []): string[] {
  const writer = text.createWriter(stop);
  const parts: string[] = [];
  for (const token of tokens) {
    parts.push(writer.push(token));
    if (writer.isStopped) return parts;
  }
  return [...parts, writer.end()];
}

describe('the tokenizer of Wren', () => {
  it('gives back the text it was given, whatever characters that has', () => {
    for (const sample of ['Hello, world', 'naïve café', '日本語', '👩‍👩‍👧‍👦 and 🇫🇷', ' two  spaces\n\ttab', '12345']) {
      expect(write(text.encode(sample)).join('')).toBe(sample);
    }
  });

  it('splits numbers into digits', () => {
    expect(text.encode('12345')).toHaveLength(5);
  });

  it('puts a conversation through the chat template and opens the answer', () => {
    const rendered = '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n';
    const prompt = text.chatPrompt([{ role: 'user', content: 'Hi' }]);
    expect(textOf(prompt)).toBe(rendered);
    expect(text.encodePrompt(prompt)).toEqual(tokenizer.encode(rendered).ids);
    expect(text.encodePrompt(prompt)[0]).toBe(1);
  });

  it('begins a continued chat with the tokens of the chat before', () => {
    const first = [{ role: 'user', content: 'What is the capital of France?' }];
    const before = chat(first);
    const after = chat([...first, { role: 'assistant', content: 'Paris.' }, { role: 'user', content: 'Thanks' }]);
    expect(after.slice(0, before.length)).toEqual(before);
  });

  it('leaves special tokens out of the text', () => {
    expect(write([1, ...text.encode('Hi'), 2]).join('')).toBe('Hi');
  });
});

describe('a text writer', () => {
  it('never gives out half a character', () => {
    const parts = write(text.encode('a👩‍👩‍👧‍👦b日本é🙂'));
    expect(parts.join('')).toBe('a👩‍👩‍👧‍👦b日本é🙂');
    for (const part of parts) expect(part).not.toContain('\uFFFD');
  });

  it('gives out the same text in parts as at once, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (sample) => {
        const tokens = text.encode(sample);
        fc.pre(tokens.length > 0);
        expect(write(tokens).join('')).toBe(tokenizer.decode(tokens, { skip_special_tokens: true }));
      }),
    );
  });

  it('gives out bytes that are no text as replacement characters, each as soon as no character can come of it', () => {
    const half = text.encode('🙂').slice(0, 1);
    expect(write(half).join('')).toBe('\uFFFD');
    const many = Array.from({ length: 40 }, () => half[0] as number);
    expect(write(many)).toEqual(['', ...Array.from({ length: 40 }, () => '\uFFFD')]);
  });

  it('gives out the same text in parts as at once, for any tokens', () => {
    const anyToken = fc.nat(tokenizer.get_vocab().size - 1);
    const bytes = fc.constantFrom(...text.encode('🙂漢é\uFFFD'));
    const tokens = fc.array(fc.oneof(anyToken, bytes, bytes), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(tokens, fc.nat(60), (all, cut) => {
        const whole = tokenizer.decode(all, { skip_special_tokens: true });
        const parts = write(all);
        expect(parts.join('')).toBe(whole);
        expect(text.decode(all)).toBe(whole);
        for (const part of parts) expect(part).not.toMatch(/\p{Cs}/u);
        // What was shown is what it adds, wherever it goes on from.
        const [before, after] = [all.slice(0, cut), all.slice(cut)];
        const writer = text.createWriter([], before);
        const added = after.map((token) => writer.push(token)).join('') + writer.end();
        expect(added).toBe(text.decode(after, before));
        expect(whole.endsWith(added)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('has no half of a character of a stop string end an answer', () => {
    expect(write(text.encode('a🙂b'), ['\ude42']).join('')).toBe('a🙂b');
  });

  it('ends before a stop string that comes in several tokens', () => {
    const tokens = text.encode('One two. END three');
    expect(tokens.length).toBeGreaterThan(6);
    expect(write(tokens, ['. END']).join('')).toBe('One two');
  });

  it('shows what only looked like a stop string', () => {
    expect(write(text.encode('One. ENtry'), ['. END']).join('')).toBe('One. ENtry');
    expect(write(text.encode('One. EN'), ['. END']).join('')).toBe('One. EN');
  });

  it('ends at whichever stop string comes first', () => {
    expect(write(text.encode('a b c d'), ['d', ' c']).join('')).toBe('a b');
  });

  it('never lets any part of a stop string out, for any text and stop string', () => {
    const words = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), maxLength: 30 });
    const stops = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' '), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(words, stops, (sample, stop) => {
        const index = sample.indexOf(stop);
        const expected = index === -1 ? sample : sample.slice(0, index);
        let shown = '';
        for (const part of write(text.encode(sample), [stop])) {
          shown += part;
          expect(expected.startsWith(shown)).toBe(true);
        }
        expect(shown).toBe(expected);
      }),
    );
  });
});

describe('tokenizer files', () => {
  it('may name several templates and special tokens as objects', () => {
    const named = withConfig({
      tokenizer_class: 'GPT2Tokenizer',
      bos_token: { content: '<|endoftext|>' },
      chat_template: [
        { name: 'tools', template: 'no' },
        { name: 'default', template: '{{ bos_token }}{{ messages[0].content }}' },
      ],
    });
    expect(named.encodePrompt(named.chatPrompt([{ role: 'user', content: 'x' }]))).toEqual([0, ...text.encode('x')]);
  });

  it('are refused as bad-model when they are not JSON', () => {
    expect(codeOf(() => openModelText(utf8('{'), utf8('{}')))).toBe('bad-model');
    expect(codeOf(() => openModelText(tokenizerFile, utf8('[]')))).toBe('bad-model');
  });

  it('without a chat template take no conversation', () => {
    const plain = withConfig({ tokenizer_class: 'GPT2Tokenizer' });
    expect(codeOf(() => plain.chatPrompt([{ role: 'user', content: 'x' }]))).toBe('unsupported');
  });

  it('whose template raises refuse the messages as bad-message', () => {
    const strict = withConfig({ chat_template: "{{ raise_exception('roles must alternate') }}" });
    expect(codeOf(() => strict.chatPrompt([{ role: 'user', content: 'x' }]))).toBe('bad-message');
  });
});
