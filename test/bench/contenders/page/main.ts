import type { Contender, Material, Prompt, Reading } from '../contender.ts';

const creators = {
  chorus: async (material: Material) => (await import('./chorus.ts')).createChorus(material),
  transformers: async (material: Material) => (await import('./transformers.ts')).createTransformers(material),
  wllamaQ4: async (material: Material) => (await import('./wllama.ts')).createWllama(material, 'Q4_0'),
  wllamaQ8: async (material: Material) => (await import('./wllama.ts')).createWllama(material, 'Q8_0'),
};
export type ContenderName = keyof typeof creators;

let contender: Contender | null = null;

/** Gets one contender ready; it stays in the page. */
export async function prepare(name: ContenderName, material: Material): Promise<void> {
  contender = await creators[name](material);
}

export function read(prompt: Prompt): Promise<Reading> {
  return prepared().read(prompt);
}

export function goOn(count: number): Promise<number> {
  return prepared().goOn(count);
}

function prepared(): Contender {
  if (contender === null) throw new Error('nothing is prepared');
  return contender;
}
