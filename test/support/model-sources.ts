import { utf8 } from '#shared/bytes.ts';
import { digestOf } from '#shared/crypto/identity.ts';
import type { ModelSource } from '#shared/model/model-source.ts';
import { omsRoot, sortSourceFiles, type SourceFile } from '#shared/model/oms.ts';

export function sourceFiles(texts: Readonly<Record<string, string>>): SourceFile[] {
  return Object.entries(texts).map(([name, text]) => ({ name, sha256: digestOf(utf8(text)) }));
}

/** A source that nobody signed, of files with these texts. */
export function unsignedSource(texts: Readonly<Record<string, string>> = { 'config.json': '{}' }): ModelSource {
  const files = sortSourceFiles(sourceFiles(texts));
  return { root: omsRoot(files), files, signature: null, origin: null };
}
