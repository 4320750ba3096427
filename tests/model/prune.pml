/* Pruning of guards (lib/shard/lua/prune.lua), on one shard: migrations and purge debts come and
 * go, each with a guard of its own in the fence; whoever works for one may sleep and come late with
 * what it prepared, also who prunes. Generations are epochs of the store's document.
 *
 * Checked of each script that comes: what the guards would refuse if none of them had ever been
 * pruned is refused now; and who works for what is open, at its generation, is refused only where
 * it would have been. -DX switches break a rule, see cases. */
#ifndef MAXE
#define MAXE 5     /* largest epoch */
#endif
#define NM 2       /* migrations that touch the shard, ever */
#define CLOSED 4
#define OPEN 1

/* ---- the document: the generation of each migration (or its debt) that is open; 0: none is */
byte E = 1, gen[NM]; bit over[NM];
/* ---- the fence: its epoch, its born, and the guards; and what they would be without pruning */
byte fE = 1, born = 0, gG[NM], gS[NM], allG[NM], allS[NM];

/* guard.lua, make.lua: raises the guard to (generation, state), unless it stands higher, or is not
 * there and the generation is from before `born`. */
#define HIGHER(G, S, g, s) ((G) > (g) || ((G) == (g) && (S) > (s)))
#ifdef NOBORN
#define BEFORE(m, g) 0
#else
#define BEFORE(m, g) (gG[m] == 0 && (g) < born)
#endif
#define REFUSED(m, g, s) (HIGHER(gG[m], gS[m], g, s) || BEFORE(m, g))
inline guard(m, g, s) {
  assert(!HIGHER(allG[m], allS[m], g, s) || REFUSED(m, g, s));      /* nothing late gets in */
  assert(g != gen[m] || !REFUSED(m, g, s) || HIGHER(allG[m], allS[m], g, s)); /* nothing open is shut out */
  if :: !REFUSED(m, g, s) -> gG[m] = g; gS[m] = s; allG[m] = g; allS[m] = s :: else fi
}

/* Who works for a migration: it reads the document, sleeps, and comes with its script: a guard that
 * opens or closes; apply, purge and drop want a guard to be there, so they need no look of their own. */
proctype Worker(byte m) {
  byte g = 0, s = 0;
end:
  do
  :: atomic { gen[m] > 0 && g == 0 -> g = gen[m]; if :: s = OPEN :: s = CLOSED fi }
  :: atomic { g > 0 -> guard(m, g, s); g = 0; s = 0 }
  od
}

proctype World() {
end:
  do
  /* A migration is opened; its generation rises with a phase, an undone hold, a new base. */
  :: atomic { E < MAXE -> E++;
       if
       :: gen[0] > 0 || !over[0] -> gen[0] = E
       :: gen[1] > 0 || !over[1] -> gen[1] = E
       fi }
  /* purge.c: it is closed in the document behind its guard; or a debt keeps its generation. */
  :: atomic { E < MAXE && gen[0] > 0 && gG[0] == gen[0] && gS[0] == CLOSED -> E++; gen[0] = 0; over[0] = 1 }
  :: atomic { E < MAXE && gen[1] > 0 && gG[1] == gen[1] && gS[1] == CLOSED -> E++; gen[1] = 0; over[1] = 1 }
  /* raise.lua, before the first dual write and in each hold. */
  :: atomic { fE < E -> fE = E }
  od
}

/* phase_prune_guards: a document is read, its horizon computed (topology_guard_horizon); the script
 * may come at any later time. */
proctype Pruner() {
  byte horizon = 0, k = 0; bit some = 0;
end:
  do
  :: atomic { horizon == 0 -> horizon = E;
#ifndef HORIZONEPOCH             /* the document's epoch alone */
       k = 0; do :: k < NM -> if :: gen[k] > 0 && gen[k] < horizon -> horizon = gen[k] :: else fi; k++ :: else -> break od; k = 0
#endif
     }
  :: atomic { horizon > 0 ->
       if :: fE < horizon -> horizon = fE :: else fi;
       k = 0;
       do
       :: k < NM ->
          if
          :: gG[k] > 0 &&
#ifndef PRUNEOPEN
             gS[k] == CLOSED &&
#endif
#ifdef UPTO
             gG[k] <= horizon ->
#else
             gG[k] < horizon ->
#endif
             gG[k] = 0; gS[k] = 0; some = 1
          :: else
          fi;
          k++
       :: else -> break
       od;
#ifndef DROPGUARD
       if :: some && horizon > born -> born = horizon :: else fi;
#endif
       horizon = 0; k = 0; some = 0 }
  od
}

init { atomic { run Worker(0); run Worker(0); run Worker(1); run World(); run Pruner() } }
