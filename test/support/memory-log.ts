import { ED25519, formatNote, keyIdOf } from '#shared/log/signed-note.ts';
import { checkpointText } from '#shared/log/checkpoint.ts';
import { leafHash, type Hash } from '#shared/log/merkle.ts';
import { HashTree } from '#shared/draw/roster-tree.ts';
import { fromBase64, utf8 } from '#shared/bytes.ts';
import { SeededKey } from './drawn-routes.ts';

/** A log that keeps its entries in memory, and signs its checkpoints. */
export class MemoryLog {
  readonly origin = 'chorus.example/log';
  readonly key = new SeededKey('memory log');
  readonly entries: Uint8Array<ArrayBuffer>[] = [];
  /** Why it takes nothing. */
  fault: Error | null = null;

  append(entry: Uint8Array): Promise<number> {
    if (this.fault !== null) return Promise.reject(this.fault);
    this.entries.push(Uint8Array.from(entry));
    return Promise.resolve(this.entries.length - 1);
  }

  inclusion(index: number, size: number): Promise<Hash[]> {
    return Promise.resolve(this.#tree(size).path(index));
  }

  get head() {
    const { root } = this.#tree(this.entries.length);
    const checkpoint = { origin: this.origin, size: this.entries.length, root };
    const text = checkpointText(checkpoint);
    const name = { name: this.origin, type: ED25519, publicKey: this.key.publicKey };
    const signature = fromBase64(this.key.sign(utf8(text)));
    const note = formatNote({ text, signatures: [{ name: this.origin, keyId: keyIdOf(name), signature }] });
    return { ...checkpoint, note };
  }

  #tree(size: number): HashTree {
    return new HashTree(this.entries.slice(0, size).map((entry) => leafHash(entry)));
  }
}
