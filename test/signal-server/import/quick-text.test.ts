import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { demandQuickText } from '../../../signal-server/import/quick-text.ts';
import { codeOf } from '../../support/code-of.ts';

const read = (name: string) => JSON.parse(readFileSync(`models/wren/${name}`, 'utf8')) as Record<string, unknown>;
const files = { tokenizer: read('tokenizer.json'), config: read('tokenizer_config.json') };
const textOf =
  ({ tokenizer, config }: typeof files) =>
  (): ModelText =>
    openModelText(utf8(JSON.stringify(tokenizer)), utf8(JSON.stringify(config)));

const endless = '{% for a in range(3000) %}{% for b in range(3000) %}{% endfor %}{% endfor %}x';
const pattern = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false };

it('takes a model whose text comes to an end', () => {
  expect(demandQuickText(textOf(files))).toBeNull();
});

it.each([
  ['a chat template', { ...files, config: { ...files.config, chat_template: endless } }],
  ['a pattern of its tokenizer', { ...files, tokenizer: { ...files.tokenizer, pre_tokenizer: pattern } }],
])('refuses a model with %s that does not end', (_title, hostile) => {
  expect(codeOf(() => demandQuickText(textOf(hostile), 500))).toBe('bad-model');
});

it('leaves what cannot be read, or takes no messages, as it is', () => {
  const silent = { ...files, config: { ...files.config, chat_template: null } };
  expect(demandQuickText(textOf(silent))?.code).toBe('unsupported');
});
