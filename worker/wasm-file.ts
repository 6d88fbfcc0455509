import { ChorusError } from '#shared/errors.ts';

/** The first bytes of every module (WebAssembly core specification, 5.5.16): `\0asm`. */
const WASM_MAGIC = [0x00, 0x61, 0x73, 0x6d];

/**
 * The bytes of a WebAssembly file, which the build keeps gzipped only. `onProgress` tells of the download, in bytes. Throws
 * `worker-lost` where it is not there, or something else in its place, such as a page that says so.
 */
export async function fetchWasm(
  url: string,
  onProgress: (done: number, total: number) => void = () => undefined,
): Promise<ArrayBuffer> {
  const bytes = await unpacked(await fetchBytes(url, onProgress)).catch(() => new ArrayBuffer(0));
  const begins = new Uint8Array(bytes, 0, Math.min(bytes.byteLength, WASM_MAGIC.length));
  if (WASM_MAGIC.every((byte, i) => begins[i] === byte)) return bytes;
  throw programGone('the runtime could not be loaded: what came is no WebAssembly');
}

/** The module that is being loaded. Throws `worker-lost` where it is not there. */
export async function orProgramGone<Module>(loading: Promise<Module>): Promise<Module> {
  try {
    return await loading;
  } catch (thrown) {
    throw programGone('a part of the runtime could not be loaded', String(thrown));
  }
}

/** Told to the page by `isProgramGone`: an update of the server may have taken the file away. */
function programGone(message: string, raw: string | null = null): ChorusError {
  return new ChorusError('worker-lost', message, { isProgramGone: true }, raw);
}

async function fetchBytes(url: string, onProgress: (done: number, total: number) => void): Promise<Blob> {
  const response = await fetch(url).catch((thrown: unknown) => {
    throw programGone('the runtime could not be loaded: the server was not reached', String(thrown));
  });
  if (!response.ok || response.body === null) {
    throw programGone(`the runtime could not be loaded: HTTP ${response.status}`);
  }
  const total = Number(response.headers.get('content-length') ?? 0);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let done = 0;
  for (const reader = response.body.getReader(); ;) {
    const part = await reader.read().catch((thrown: unknown) => {
      throw programGone('the runtime could not be loaded: it came in part only', String(thrown));
    });
    if (part.done) return new Blob(parts);
    parts.push(part.value);
    done += part.value.length;
    onProgress(done, Math.max(done, total));
  }
}

/** Gzip (RFC 1952, 2.3.1) unpacked, unless a proxy has done it on the way. */
async function unpacked(bytes: Blob): Promise<ArrayBuffer> {
  const [first, second] = new Uint8Array(await bytes.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return bytes.arrayBuffer();
  return new Response(bytes.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}
