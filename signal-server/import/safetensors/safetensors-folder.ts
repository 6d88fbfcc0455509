import { z } from 'zod';
import { ChorusError } from '#shared/errors.ts';
import { firstFault, formWords } from '#shared/form-words.ts';
import { openSafetensors, type SafetensorsFile, type SafetensorsTensor } from './safetensors-file.ts';

/** Names the file that each tensor lies in, where there are several. */
export const INDEX_FILE = 'model.safetensors.index.json';
export const MAX_INDEX_BYTES = 8 * 2 ** 20;
export const SINGLE_FILE = 'model.safetensors';
const MAX_FILES = 256;

const indexSchema = z.object({
  weight_map: z.record(
    z.string(),
    z.string().regex(/^[\w][\w.-]{0,190}\.safetensors$/, 'must name a safetensors file beside it'),
  ),
});

/** The tensors of all files of a model. */
export interface SafetensorsFolder {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** `length` bytes of a tensor, from `offset` in it on. */
  read(tensor: SafetensorsTensor, offset: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Tensors by name, with the file that each lies in. Throws `bad-model` for what is no index. */
export function parseIndex(json: unknown): ReadonlyMap<string, string> {
  const index = indexSchema.safeParse(json, { error: formWords });
  if (!index.success)
    throw new ChorusError('bad-model', `${INDEX_FILE}: ${firstFault(index.error, 'the whole of it')}`);
  const places = new Map(Object.entries(index.data.weight_map));
  const files = new Set(places.values()).size;
  if (files < 1 || files > MAX_FILES)
    throw new ChorusError('bad-model', `${INDEX_FILE} names ${files} files; 1 to ${MAX_FILES} can be read`);
  return places;
}

/**
 * Opens files by name at their paths; `places` is what an index says of them, null where there is one file. Throws `bad-model`
 * where index and files differ, and as `openSafetensors`.
 */
export function openSafetensorsFolder(
  paths: ReadonlyMap<string, string>,
  places: ReadonlyMap<string, string> | null,
): SafetensorsFolder {
  const files: SafetensorsFile[] = [];
  const owners = new Map<SafetensorsTensor, SafetensorsFile>();
  const tensors = new Map<string, SafetensorsTensor>();
  const close = () => files.forEach((file) => file.close());
  try {
    for (const [name, path] of paths) {
      const file = openSafetensors(path, name);
      files.push(file);
      for (const tensor of file.tensors.values()) {
        if (places !== null && places.get(tensor.name) !== name)
          throw new ChorusError(
            'bad-model',
            `${INDEX_FILE} does not say that the tensor ${tensor.name} lies in ${name}`,
          );
        tensors.set(tensor.name, tensor);
        owners.set(tensor, file);
      }
    }
    const missing = [...(places ?? [])].find(([tensor]) => !tensors.has(tensor));
    if (missing !== undefined)
      throw new ChorusError(
        'bad-model',
        `${missing[1]} has no tensor ${missing[0].slice(0, 200)}, which ${INDEX_FILE} names`,
      );
  } catch (error) {
    close();
    throw error;
  }
  return { tensors, read: (tensor, offset, length) => owners.get(tensor)!.read(tensor.offset + offset, length), close };
}

/** True where file names say that a folder has a model's weights in safetensors. */
export function hasSafetensors(names: readonly string[]): boolean {
  return names.includes(SINGLE_FILE) || names.includes(INDEX_FILE);
}
