import { readFileSync } from 'node:fs';

const folder = new URL('../vectors/spec/', import.meta.url);

/** An example of a specification, to the byte (test/vectors/README.md says of which). */
export const specText = (name: string): string => readFileSync(new URL(name, folder), 'utf8');

export const specJson = (name: string): unknown => JSON.parse(specText(name));

/** A verifier key, which is a line. */
export const specKey = (name: string): string => specText(name).trimEnd();
