/** How many bytes a text takes on the wire. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).length;
