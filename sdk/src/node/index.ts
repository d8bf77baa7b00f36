export const SDK = 'maidian-node/0.1.0';
