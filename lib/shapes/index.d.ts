export type * from './heap'
export type * from './memory'
export type * from './record'
export type * from './stats'
