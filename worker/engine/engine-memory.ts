import { ChorusError } from '#shared/errors.ts';
import type { EngineFunctions } from './engine-module.ts';

const PAGE_BYTES = 65_536;
/** Vectors are read at whole multiples of their size. */
const ALIGNMENT = 16;
const MAX_PAGES = 65_536;

/** One instance of the engine with a memory of its own, which goes when nothing refers to it any more. */
export class EngineMemory {
  readonly functions: EngineFunctions;
  readonly #memory: WebAssembly.Memory;
  /** Runs of bytes that were given back, by address, none beside another. */
  #free: { at: number; bytes: number }[] = [];
  #end: number;

  constructor(memory: WebAssembly.Memory, instance: WebAssembly.Instance) {
    this.#memory = memory;
    this.functions = instance.exports as unknown as EngineFunctions;
    this.#end = aligned((instance.exports['__heap_base'] as WebAssembly.Global).value as number);
  }

  /** An instance of `module` with a memory that it grows. Throws `out-of-memory`. */
  static async open(module: WebAssembly.Module): Promise<EngineMemory> {
    const memory = newMemory();
    return new EngineMemory(memory, await WebAssembly.instantiate(module, { env: { memory } }));
  }

  /** Bytes in use, up to the last one that was ever given out. */
  get usedBytes(): number {
    return this.#end - this.#free.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** An address of `bytes` bytes, not cleared. Throws `out-of-memory`. */
  allocate(bytes: number): number {
    const wanted = Math.max(ALIGNMENT, aligned(bytes));
    const found = this.#free.findIndex((run) => run.bytes >= wanted);
    const run = this.#free[found];
    if (run !== undefined) {
      const rest = { at: run.at + wanted, bytes: run.bytes - wanted };
      this.#free.splice(found, 1, ...(rest.bytes > 0 ? [rest] : []));
      return run.at;
    }
    const at = this.#end;
    this.#reserve(at + wanted);
    this.#end = at + wanted;
    return at;
  }

  /** Gives back what `allocate(bytes)` returned. */
  free(at: number, bytes: number): void {
    const runs = [...this.#free, { at, bytes: Math.max(ALIGNMENT, aligned(bytes)) }].sort((a, b) => a.at - b.at);
    this.#free = [];
    for (const run of runs) {
      const last = this.#free.at(-1);
      if (last !== undefined && last.at + last.bytes === run.at) last.bytes += run.bytes;
      else this.#free.push({ ...run });
    }
    const last = this.#free.at(-1);
    if (last === undefined || last.at + last.bytes !== this.#end) return;
    this.#free.pop();
    this.#end = last.at;
  }

  /** Views hold until the next `allocate`. */
  bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory.buffer, at, length);
  }

  floats(at: number, length: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.#memory.buffer, at, length);
  }

  words(at: number, length: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.#memory.buffer, at, length);
  }

  #reserve(end: number): void {
    const missing = end - this.#memory.buffer.byteLength;
    if (missing <= 0) return;
    try {
      this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    } catch {
      throw noMemory();
    }
  }
}

/** Browsers set the addresses of the whole aside, of which a machine may have no more. */
function newMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: 16, maximum: MAX_PAGES });
  } catch {
    throw noMemory();
  }
}

function noMemory(): ChorusError {
  return new ChorusError('out-of-memory', 'the device has no more memory for the stage');
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
