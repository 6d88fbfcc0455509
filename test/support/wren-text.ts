import { readFileSync } from 'node:fs';
import { openModelText } from '#shared/text/model-text.ts';

const file = (name: string) => new Uint8Array(readFileSync(`models/wren/${name}`));

/** Tokenizer and chat template of the default model. */
export const wrenText = openModelText(file('tokenizer.json'), file('tokenizer_config.json'));
