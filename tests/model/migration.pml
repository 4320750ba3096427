/* Sluice migration protocol, DESIGN.md sections 4-6, one slot, one key.
 * Value of the key = number n of writes executed on it (a fetch-and-increment register);
 * what the PROTOCOL can see of it when it compares copies is only VIS(n)=n&1 (present/absent:
 * odd writes SET, even writes DEL), so A-B-A of values is in the model.
 * BASE = the design with the repairs that README.md tells of. -DX switches break it, see cases. */
#ifndef NP
#define NP 2     /* proxies */
#endif
#ifndef NC
#define NC 2     /* clients; client c uses proxy c%NP */
#endif
#ifndef NO
#define NO 1     /* abandoned (orphan) requests still travelling */
#endif
#ifndef NM
#define NM 2     /* mirrors travelling at once (more are lost) */
#endif
#ifndef NW
#define NW 2     /* client writes in all */
#endif
#ifndef NR
#define NR 1     /* client reads in all */
#endif
#ifndef MAXE
#define MAXE 6   /* largest epoch */
#endif
#ifndef NMIG
#define NMIG 1   /* migrations, one after another, back and forth */
#endif
#ifndef NMGR
#define NMGR 1   /* concurrent migrator processes */
#endif
#ifndef NPCRASH
#define NPCRASH 0 /* proxy crash+restart */
#endif
#ifndef NBUMP
#define NBUMP 0  /* writes of other keys that raise the shard's common seq */
#endif
#ifndef NBACK
#define NBACK 1  /* hold time-outs */
#endif
#ifndef NDEATH
#define NDEATH 0 /* shards, of whatever role, that come back as another process */
#endif
#if NDEATH>0
#define DEATH
#endif
#define NQ (NC+NO)
#define S 0
#define T 1
#ifdef NOVIS
#define VIS(n) (n)
#else
#define VIS(n) ((n)&1)
#endif
/* phases */
#ifndef NOTHER
#define NOTHER 0 /* changes of the document that leave the slot's entry alone */
#endif
#ifndef NOOM
#define NOOM 0   /* units aborted for lack of memory */
#endif
#ifndef NAB
#define NAB 0    /* an operator's aborts in a hold */
#endif
/* What the code does and the design of rounds one and two left open: README.md, "The code". */
#ifdef CODE
#define PERSHARD     /* a proxy publishes to each shard by itself, when that one is drained */
#define LATEREAD     /* the mirrored state may be read after the unit, by a command of its own */
#define REDISPATCH   /* a request that was not sent is dispatched anew */
#define LATEOPEN     /* guard(S) is opened in `switched`, after its CAS */
#ifndef NOOWNER
#define OWNERGUARD   /* the authority's guard says owner from the base on */
#endif
#define REVFIRST     /* the metadata of the way back are made before the CAS to `switched` */
#define EITHER       /* the drain asks both shards at once */
#define UNDOANY      /* steward, migrator: a hold is undone by whoever is first */
#if !defined(TLOSS) && !defined(DEATH)   /* there tMid stands for (id, base) */
#define PERID        /* one guard a migration id, closed at its end */
#endif
#endif
#ifdef PERSHARD
#define NPUB 2*NP
#define PUB(p,X) pPub[2*(p)+(X)]
#else
#define NPUB NP
#define PUB(p,X) pPub[p]
#endif
#ifdef PERID
#define NGUARD 2*(NMIG+1)
#define GI(X,mid) (2*(mid)+(X))
#define MIRMID(mid) (mid)
#else
#define NGUARD 2
#define GI(X,mid) (X)
#define MIRMID(mid) 0
#endif
/* ---- a shard that dies and comes back as another process, set back to an earlier moment or not ---- */
#ifdef DEATH
/* What a step of a migrator on shard X meets first: nobody answers; or it is a process that the topology
 * named after this migrator's view, and every script and every new link compares them. */
#define LIVE(X) up[X] && nmE[X]<=me &&
#define AT(X) if :: (up[X] && nmE[X]<=me) :: ((up[X] -> nmE[X]>me : tN!=me)) -> goto top fi;
#define UP(X) up[X] &&
#define CAP cap
#ifdef POSSGEN        /* a guard of that generation, whatever it says */
#define SAYSOWNER(g,st) (g>=og)
#else
#define SAYSOWNER(g,st) (g>og || (g==og && st>=GOWNER))
#endif
#ifdef DIES           /* only this one */
#define SOMESHARD x=DIES
#else
#define SOMESHARD x=S; if :: x=T :: skip fi
#endif
#define SETBACK(X) (sHas && sX==X)                /* it comes back as it was at an earlier moment */
#ifdef NOPOSSESSION   /* whoever is there is taken for the owner */
#define MAYNAME(X) 1
#else
#define MAYNAME(X) (og==0 || AUTH(tPh,tSrc)!=X || (SETBACK(X) && SAYSOWNER(sG,sS)) || (!SETBACK(X) && SAYSOWNER(gG[X],gS[X])))
#endif
#else
#define LIVE(X)
#define AT(X)
#define UP(X)
#define CAP nInv
#endif
#ifdef FORMER         /* the process that is replaced may live on */
#define HERE(q) !rF[q] ->
#define NOTFORMER(q) && !rF[q]
#else
#define HERE(q)
#define NOTFORMER(q)
#endif
#ifdef UNDOANY
#define UNDOES(p) 1
#else
#define UNDOES(p) (pN[p]==tN)
#endif
#define NONE 0
#define DW 1
#define HOLD 2
#define SW 3
#define HOLD2 4
#define FIN 5
#define AB 6
#define AUTH(ph,src) ((ph==SW||ph==HOLD2||ph==FIN) -> 1-(src) : (src))
#define DUAL(ph) (ph==DW||ph==SW)
#define HELD(ph) (ph==HOLD||ph==HOLD2)
/* guard states */
#define GNONE 0
#define GOPEN 1
#define GOWNER 2
#define GPURGE 3
#define GCLOSED 4

/* ---- the store: one CAS register ---- */
byte tE=1, tPh=NONE, tG=0, tMid=0; bit tSrc=S, tBf=0;
/* tN: the epoch in which the slot's entry last changed, max(entry epoch, generation, base). It lags
 * behind tE only where other migrations change the same document (NOTHER). */
#if NOTHER>0
byte tN=1, pN[NP]=1, nOther=0;
#else
#define tN tE
#define pN pE
#endif
#define NEXT tE++; tN=tE
/* ---- the shards ---- */
byte val[2]; byte seqc[2]=1; byte dirty[2]; byte ver[2]; byte gG[NGUARD]; byte gS[NGUARD]; byte fence[2]=1;
byte vtag[2];     /* migration and direction that ver[] belongs to */
/* ---- proxies ---- */
byte pE[NP]=1, pPh[NP], pG[NP], pMid[NP], pPub[NPUB]=1; bit pSrc[NP];
bit conn[4]=1;     /* conn[2*p+X]: proxy p has a connection through hello on shard X */
/* ---- requests: 0 idle, 1 queued in the proxy, 2 travelling to the shard, 3 executed, reply travelling,
 *      4 refused for lack of memory, nothing ran, that reply travelling */
byte rSt[NQ], rE[NQ], rG[NQ], rRet[NQ], rSeq[NQ], rLo[NQ], rP[NQ], rMid[NQ]; bit rX[NQ], rW[NQ], rD[NQ], rOld[NQ];
/* ---- mirrors in flight ---- */
bit mU[NM], mD[NM]; byte mG[NM], mS[NM], mV[NM], mMid[NM];
bit mR[NM];       /* the state is still to be read on the authority (LATEREAD) */
#ifdef DEATH
bit up[2]=1;       /* 0: it has died, and the topology names the dead process still */
byte nmE[2];       /* the epoch whose change named the process */
byte og;           /* owner_generation: of the guard that was closed at the last change of owner */
/* The earlier moment: an append-only file, a snapshot and a replica have the beginning of what the process
 * did. Marks and numbers are void with the old base, and a fence that was set back is raised again. */
bit sHas, sX; byte sVal, sG, sS;
byte took;         /* ghost: val when the owner changed last; nothing up to there is the new owner's to lose */
byte cap;          /* ghost: writes that can have run, of those that are not lost */
byte nDeath;
#endif
#ifdef FORMER
bit rF[NQ];        /* it went to the former process */
bit fUp, fX; byte fVal, fSeq, fMid;   /* which goes on for those who have not heard */
#endif
/* ---- ghosts ---- */
byte hi=0, nInv=0, nRd=0, nBack=0, nPC=0, nBu=0, nOom=0, nAb=0;

bit got[NW+2]; byte nLoss=0;

/* tag: which migration and direction ver belongs to; a new generation of the SAME direction keeps ver */
#ifdef VERRESET
#define NEWVER(X,tag) 1
#else
#define NEWVER(X,tag) (vtag[X]!=(tag))
#endif
inline setguard(X,mid,g,st,tag) {
  if :: (g>gG[GI(X,mid)]) -> if :: NEWVER(X,tag) -> ver[X]=0 :: else fi; vtag[X]=tag; gG[GI(X,mid)]=g; gS[GI(X,mid)]=st
#ifdef GUARDREGRESS            /* refuses only a smaller generation; the state may go back */
     :: (g==gG[GI(X,mid)]) -> gS[GI(X,mid)]=st
#else
     :: (g==gG[GI(X,mid)] && st>gS[GI(X,mid)]) -> gS[GI(X,mid)]=st
#endif
     :: else fi
}
#ifdef NOSEQ
#define SEQOK(s,X,bf) (!(bf) || s>ver[X])
#else
#ifdef BFNOCHECK
#define SEQOK(s,X,bf) ((bf) || s>ver[X])
#else
#define SEQOK(s,X,bf) (s>ver[X])
#endif
#endif
inline apply(X,mid,g,s,v,bf) {     /* the script apply() on shard X */
  if ::
#ifdef NOGUARDCHECK
     1
#else
#ifdef NOGENCHECK
     (gS[GI(X,mid)]==GOPEN)
#else
     (gG[GI(X,mid)]==g && gS[GI(X,mid)]==GOPEN)
#endif
#endif
     -> if
        :: (SEQOK(s,X,bf)) -> val[X]=v;
#ifdef BFNOENTER
           if :: (bf) && ver[X]==0 -> skip :: else -> ver[X]=s fi
#else
           if :: s==1 -> skip :: else -> ver[X]=s fi   /* sparse: number 1 is "never written since the migration began" */
#endif
        :: else fi
     :: else fi
}
inline resetreq(q) { rSt[q]=0; rE[q]=0; rG[q]=0; rRet[q]=0; rSeq[q]=0; rLo[q]=0; rP[q]=0; rX[q]=0; rW[q]=0; rD[q]=0; rOld[q]=0; rMid[q]=0
#ifdef FORMER
  ; rF[q]=0
#endif
}
inline freemir(i) { mU[i]=0; mD[i]=0; mG[i]=0; mS[i]=0; mV[i]=0; mMid[i]=0; mR[i]=0 }
#ifdef PERSHARD
#ifdef PUBOTHER   /* asks the count of the other shard */
#define CONCERNS(q,X) (rX[q]!=X)
#else
#define CONCERNS(q,X) (rX[q]==X)
#endif
#else
#define CONCERNS(q,X) 1
#endif
#define INFL(q,p,X) (rSt[q]>=2 && rP[q]==p && rE[q]<pN[p] && !rOld[q] && CONCERNS(q,X) NOTFORMER(q))
/* back in the proxy's queue: nothing of it has run, nothing of it can run any more */
inline requeue(q) {
#ifdef FORMER
  if :: rF[q] && rW[q] -> cap++ :: else fi; rF[q]=0;
#endif
  rSt[q]=1; rE[q]=0; rG[q]=0; rX[q]=0; rD[q]=0; rMid[q]=0
}
#ifdef DEATH
inline forget() { sHas=0; sX=0; sVal=0; sG=0; sS=0 }
/* Shard x dies. What travels to it or from it is lost: that it arrived before is another run. */
inline die(x) {
  assert(og==0 || AUTH(tPh,tSrc)!=x || SAYSOWNER(gG[x],gS[x]));    /* A7 who has lost nothing is believed */
  nDeath++; up[x]=0;
  if :: nDeath==NDEATH && sX!=x -> forget() :: else fi;
  c=0; do :: c<NP -> conn[2*c+x]=0; c++ :: else -> break od;
  i=0; do :: i<NM -> if :: mR[i] && mD[i]!=x -> freemir(i) :: else fi; i++ :: else -> break od;
#ifdef FORMER      /* a failover: it may live on, cut off from those who know */
  if :: fUp=1; fX=x; fVal=val[x]; fSeq=seqc[x]; fMid=tMid :: skip fi;
#endif
  q=0; do :: q<NQ -> if :: rSt[q]>=2 && rX[q]==x ->
#ifdef FORMER
         if :: fUp -> rF[q]=1; if :: rW[q] && rSt[q]==2 -> cap-- :: else fi :: else -> resetreq(q) fi
#else
         resetreq(q)
#endif
       :: else fi; q++ :: else -> break od;
  c=0; i=0; q=0
}
/* What the owner itself lost nobody can bring back: from here on it counts as never done. Not what it
 * took over: that was done on the other shard, which kept it. */
inline excuse(x) {
  i=((val[x]>took) -> val[x] : took);
  if :: hi>i -> hi=i :: else fi;
  c=i+1; do :: c<=NW -> got[c]=0; c++ :: else -> break od;
  cap=val[x];
  c=0; do :: c<NC -> if :: rLo[c]>i -> rLo[c]=i :: else fi;
       if :: rW[c] && (rSt[c]==1 || (rSt[c]==2 NOTFORMER(c))) -> cap++ :: else fi; c++ :: else -> break od;
  c=0; i=0
}
/* A CAS names the process that is there, and begins a new base for the migration; then its fence is
 * written. topology_replace_process. */
inline name(x) {
  NEXT;
#ifndef DEATHNOBASE   /* only the name */
#ifndef KEEPHOLD      /* a new base, but a hold goes on */
  if :: tPh==HOLD -> tPh=DW :: tPh==HOLD2 -> tPh=SW :: else fi;
#endif
  if :: tPh!=NONE -> tG=tE; tBf=0; tMid++; dirty[S]=0; dirty[T]=0; seqc[S]=1; seqc[T]=1 :: else fi;
#endif
  if :: SETBACK(x) -> val[x]=sVal; gG[x]=sG; gS[x]=sS; forget() :: else fi;
  if :: fence[x]<tE -> fence[x]=tE :: else fi;
  nmE[x]=tE; up[x]=1;
  if :: AUTH(tPh,tSrc)==x ->
#if NDEATH==1
          assert(val[x]>=took);     /* A6 it has what it took over: its copy is made equal to it */
#endif
          excuse(x)
     :: else fi
}
#endif

/* ============ clients, proxies, connections, network: one guarded-command loop ============ */
active proctype Env() {
  byte c,p,i,q,x; bit bad;
end:
  do
  /* client invokes */
  :: atomic { (nInv<NW || nRd<NR) ->
       c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==0 ->
          if :: nInv<NW -> nInv++; rW[c]=1
#ifdef DEATH
                               ; cap++
#endif
                               ; :: nRd<NR -> nRd++; rW[c]=0 fi;
          rSt[c]=1; rP[c]=c%NP; rLo[c]=hi
       :: else fi; c=0 }
  /* proxy dispatches */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==1 ->
         p=rP[c]; x=AUTH(pPh[p],pSrc[p]);
         if :: (
#ifdef READHOLD
              (!HELD(pPh[p]) || !rW[c])
#else
              !HELD(pPh[p])
#endif
              && UP(x) (conn[2*p+x] ||
#ifdef HELLOPIPE
                 1
#else
                 fence[x]<=pE[p]
#endif
              )) ->
              conn[2*p+x]=1; rSt[c]=2; rX[c]=x; rE[c]=pN[p]; rMid[c]=pMid[p];
              if :: (DUAL(pPh[p]) && rW[c]) -> rD[c]=1; rG[c]=pG[p] :: else fi
#ifdef FORMER    /* it has not heard; what it sends to the former process will not run elsewhere */
            :: (!HELD(pPh[p]) && up[x] && fUp && fX==x && pE[p]<nmE[x]) ->
              rF[c]=1; if :: rW[c] -> cap-- :: else fi;
              rSt[c]=2; rX[c]=x; rE[c]=pN[p]; rMid[c]=pMid[p];
              if :: (DUAL(pPh[p]) && rW[c]) -> rD[c]=1; rG[c]=pG[p] :: else fi
#endif
            :: else fi
       :: else fi; c=0; p=0; x=0 }
#ifdef FIRSTSLOT
  /* a request of several slots that waited is sent again by the entry of its first slot alone, which
   * is in no migration: plain, to the shard that was right when it came */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==1 && rW[c] && conn[2*rP[c]+S] -> rSt[c]=2; rX[c]=S; rE[c]=pN[rP[c]]; rMid[c]=pMid[rP[c]] :: else fi; c=0 }
#endif
#ifdef REDISPATCH
  /* the connection is lost before a byte of the request was written: it is dispatched anew */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==2 ->
#ifdef RESEND   /* ... and so is one of which bytes were written */
         q=NC;
         if :: rSt[q]==0 && rW[c] -> rSt[q]=2; rE[q]=rE[c]; rG[q]=rG[c]; rP[q]=rP[c]; rX[q]=rX[c]; rW[q]=1; rD[q]=rD[c]; rMid[q]=rMid[c] :: else fi; q=0;
#endif
         requeue(c)
       :: else fi; c=0 }
#endif
#if NOOM>0
  /* the shard is above maxmemory: the unit is aborted, nothing of it runs */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==2 && rD[c] && nOom<NOOM -> nOom++; rSt[c]=4 :: else fi; c=0 }
  /* that reply comes: the same again as marked_write, if the proxy's world is the same; else anew */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==4 ->
#ifdef OOMSTALE  /* resent whatever happened; what is sent now is not in the count that is drained */
         rSt[c]=2; rE[c]=pN[rP[c]]
#else
         if :: rE[c]==pN[rP[c]] -> rSt[c]=2 :: else -> requeue(c) fi
#endif
       :: else fi; c=0 }
#endif
  /* shard executes a request that arrives */
  :: atomic { q=0; do :: q<NQ-1 -> q++ :: break od;
       if :: rSt[q]==2 NOTFORMER(q) -> x=rX[q];
         if :: rW[q] -> val[x]++;
              /* number 9: a base that is over; its names are not those of today, and its generation is refused */
              if :: rD[q] -> if :: rMid[q]==tMid -> seqc[x]++; rSeq[q]=seqc[x] :: else -> rSeq[q]=9 fi;
#ifndef NOMARK
                 if :: rMid[q]==tMid -> 
#ifdef COUNTMARK
                    dirty[x]++
#else
                    dirty[x]=seqc[x]
#endif
                 :: else fi
#endif
              :: else fi
            :: else fi;
         rRet[q]=val[x]; rSt[q]=3;
         if :: q>=NC -> resetreq(q) :: else fi
#ifdef FORMER
          :: rSt[q]==2 && rF[q] ->
         if :: rW[q] -> fVal++; if :: rD[q] -> if :: rMid[q]==fMid -> fSeq++; rSeq[q]=fSeq :: else -> rSeq[q]=9 fi :: else fi :: else fi;
         rRet[q]=fVal; rSt[q]=3
#endif
       :: else fi; q=0; x=0 }
  /* proxy gets the reply: mirror leaves (or is lost), client is answered (or its connection is gone) */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==3 ->
         if :: rD[c] -> i=0; do :: i<NM && mU[i] -> i++ :: else -> break od;
              if :: i<NM ->
                 if :: mU[i]=1; mD[i]=1-rX[c]; mG[i]=rG[c]; mMid[i]=MIRMID(rMid[c]); mS[i]=rSeq[c]; mV[i]=rRet[c]
#ifdef LATEREAD   /* number and value are not those of the unit, but of a reading after its reply */
                 :: HERE(c) mU[i]=1; mD[i]=1-rX[c]; mG[i]=rG[c]; mMid[i]=rMid[c]; mR[i]=1
#endif
                 :: skip fi
                 :: else fi
            :: else fi;
         if
#ifdef FORMER    /* the answer of an owner that is none any more: lost like all that it did last */
            :: rF[c] -> rRet[c]=0
#endif
            :: rW[c] NOTFORMER(c) -> assert(rRet[c]<=CAP);         /* A1 applied twice */
                 assert(rRet[c]>rLo[c] && !got[rRet[c]]);           /* A2 lost acknowledged write / fork */
                 got[rRet[c]]=1
            :: else -> assert(rRet[c]>=rLo[c] && rRet[c]<=CAP)     /* A3 read went back */
         fi;
         if :: rRet[c]>hi -> hi=rRet[c] :: else fi;
         resetreq(c)
       :: else fi; c=0; i=0 }
  /* reply lost: outcome unknown to the client */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==3 -> resetreq(c) :: else fi; c=0 }
  /* proxy gives a request up (time-out, connection closed): it still travels */
#if NO>0
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==2 && rSt[NC]==0 && rW[c] -> q=NC;
            rSt[q]=2; rE[q]=rE[c]; rG[q]=rG[c]; rP[q]=rP[c]; rX[q]=rX[c]; rW[q]=1; rD[q]=rD[c]; rMid[q]=rMid[c]; resetreq(c)
       :: else fi; c=0; q=0 }
  /* the proxy itself makes sure that a given-up connection is dead (CLIENT KILL ID) */
  :: atomic { rSt[NC]==2 -> resetreq(NC) }
#endif
#ifdef LATEREAD
  /* the reading, at any later time, whatever was adopted meanwhile; it fails when the names are gone */
  :: atomic { i=0; do :: i<NM-1 -> i++ :: break od;
       if :: mU[i] && mR[i] ->
         if :: mMid[i]==tMid -> mS[i]=seqc[1-mD[i]]; mV[i]=val[1-mD[i]]; mR[i]=0; mMid[i]=MIRMID(mMid[i]) :: else -> freemir(i) fi
       :: else fi; i=0 }
#endif
  /* mirror arrives, once or many times, or never */
  :: atomic { i=0; do :: i<NM-1 -> i++ :: break od;
       if :: UP(mD[i]) mU[i] && !mR[i] -> apply(mD[i],mMid[i],mG[i],mS[i],mV[i],0); if :: freemir(i) :: skip fi :: else fi; i=0 }
  :: atomic { i=0; do :: i<NM-1 -> i++ :: break od; if :: mU[i] -> freemir(i) :: else fi; i=0 }
#if NBUMP>0
  :: atomic { nBu<NBUMP -> nBu++; seqc[AUTH(tPh,tSrc)]++ }
#endif
  /* proxy adopts the newest epoch */
  :: atomic { p=0; do :: p<NP-1 -> p++ :: break od;
       if :: pE[p]<tE -> pE[p]=tE; pN[p]=tN; pPh[p]=tPh; pG[p]=tG; pSrc[p]=tSrc; pMid[p]=tMid :: else fi; p=0 }
  /* proxy publishes */
  :: atomic { p=0; do :: p<NP-1 -> p++ :: break od;
#ifdef PERSHARD   /* each shard is told apart: of what travels to that shard, nothing older is left */
       x=0; if :: x=1 :: skip fi;
#endif
       if :: PUB(p,x)<pE[p] ->
          q=0; bad=0;
#ifndef EARLYPUB
          do :: q<
#ifdef ORPHANPUB
                NC
#else
                NQ
#endif
               -> if :: INFL(q,p,x) -> bad=1 :: else fi; q++
             :: else -> break od;
#endif
          if :: !bad -> PUB(p,x)=pE[p] :: else fi
       :: else fi; p=0; q=0; x=0; bad=0 }
  /* any proxy undoes a hold that lasts too long */
  :: atomic { p=0; do :: p<NP-1 -> p++ :: break od;
       if :: HELD(tPh) && UNDOES(p) && tE<MAXE && nBack<NBACK -> nBack++;
            NEXT; if :: tPh==HOLD -> tPh=DW :: else -> tPh=SW fi;
#ifndef BACKSAMEGEN
            tG=tE
#endif
#ifdef VOIDMARKS
            ; dirty[AUTH(tPh,tSrc)]=0
#endif
       :: else fi; p=0 }
#if NOTHER>0
  /* another migration, an operator or a flag changes the document: the epoch rises, the entry stays */
  :: atomic { nOther<NOTHER && tE<MAXE -> nOther++; tE++ }
#endif
#if NAB>0
  /* the operator aborts in a hold */
  :: atomic { tPh==HOLD && nAb<NAB && tE<MAXE -> nAb++; NEXT; tPh=AB; tG=tE }
#endif
#ifdef TLOSS   /* T restarts with its last writes gone; a proxy names the new process by CAS */
  :: atomic { nLoss<1 && (tPh==HOLD || tPh==DW) && tE<MAXE -> nLoss++;
       if :: val[T]>0 -> val[T]=0 :: else fi;
       if :: ver[T]=0 :: skip fi;
       NEXT;
#if TLOSS==2   /* the same CAS begins a new base: new names, new generation, barrier and backfill again */
       tPh=DW; tG=tE; tBf=0; tMid++; dirty[S]=0; seqc[S]=1
#endif
     }
#endif
#ifdef DEATH
  /* the moment that a shard will be set back to, if it is */
  :: atomic { !sHas && nDeath<NDEATH -> SOMESHARD;
       if :: up[x] -> sHas=1; sX=x; sVal=val[x]; sG=gG[x]; sS=gS[x] :: else fi; x=0 }
  :: atomic { nDeath<NDEATH -> SOMESHARD; if :: up[x] -> die(x) :: else fi; x=0 }
  :: atomic { SOMESHARD; if :: !up[x] && tE<MAXE && MAYNAME(x) -> name(x) :: else fi; x=0 }
#if NDEATH==1
  /* A6 what a refused owner has lost of what it took over, the copy still has */
  :: atomic { SOMESHARD; if :: !up[x] && !MAYNAME(x) -> assert(val[1-x]>=took) :: else fi; x=0 }
#endif
#if NAB>0
  /* the operator finalizes, by force: whatever is verified, and whoever is dead */
  :: atomic { tPh==SW && nAb<NAB && tE<MAXE -> nAb++; NEXT; tPh=FIN; tG=tE }
#endif
#endif
#ifdef FORMER
  /* the former process is closed or gone at last */
  :: atomic { fUp -> fUp=0; fX=0; fVal=0; fSeq=0; fMid=0;
       q=0; do :: q<NQ -> if :: rF[q] -> resetreq(q) :: else fi; q++ :: else -> break od; q=0 }
#endif
#ifdef ROLLCALL
  /* a proxy's connections to a shard die at any time, no fence is raised: a roll call took it for one that
   * is gone, or the network did it. It comes back through hello. */
  :: atomic { p=0; do :: p<NP-1 -> p++ :: break od; x=S; if :: x=T :: skip fi; conn[2*p+x]=0;
       q=0; do :: q<NQ -> if :: rSt[q]==2 && rP[q]==p && rX[q]==x NOTFORMER(q) -> resetreq(q) :: else fi; q++ :: else -> break od;
       p=0; x=0; q=0 }
#endif
#if NPCRASH>0
  /* proxy crash: what it sent still travels (one of them), a new incarnation reads the store */
  :: atomic { nPC<NPCRASH -> nPC++; p=0; do :: p<NP-1 -> p++ :: break od;
       c=0; do :: c<NC ->
           if :: rP[c]==p && rSt[c]==2 && rSt[NC]==0 && rW[c] -> q=NC; rSt[q]=2; rE[q]=rE[c]; rG[q]=rG[c]; rP[q]=p; rX[q]=rX[c]; rW[q]=1; rD[q]=rD[c]; rMid[q]=rMid[c]; rOld[q]=1; resetreq(c)
              :: rP[c]==p && rSt[c]>0 && !(rSt[c]==2 && rSt[NC]==0 && rW[c]) -> resetreq(c)
              :: else fi; c++
         :: else -> break od;
       if :: rSt[NC]==2 && rP[NC]==p -> rOld[NC]=1 :: else fi;
       conn[2*p]=0; conn[2*p+1]=0; pE[p]=tE; pN[p]=tN; pPh[p]=tPh; pG[p]=tG; pSrc[p]=tSrc; pMid[p]=tMid; PUB(p,0)=tE; PUB(p,1)=tE; p=0; c=0; q=0 }
#endif
  od
}

/* ============ migrator ============ */
#ifdef CRASH
#define STEP if :: skip :: goto top fi
#else
#define STEP skip
#endif
inline killp(pp,X) {
  atomic {
    AT(X)
#ifndef NOKILL
    kq=0; do :: kq<NQ -> if :: rSt[kq]==2 NOTFORMER(kq) && rP[kq]==pp && rX[kq]==X && (PUB(pp,X)<me || rOld[kq]) -> resetreq(kq)
#if NOOM>0   /* what would be repeated on the killed connection cannot be: unknown, or not sent */
             :: rSt[kq]==4 && rP[kq]==pp && rX[kq]==X && PUB(pp,X)<me -> if :: requeue(kq) :: resetreq(kq) fi
#endif
             :: else fi; kq++ :: else -> break od; kq=0;
    if :: PUB(pp,X)<me -> conn[2*pp+X]=0 :: else fi
#else
    skip
#endif
  }
}
inline barrier(X) {
#ifdef NOKILL
  /* without the kill the barrier can only wait for those that answer, then go on */
#endif
  atomic {
    AT(X)
#ifndef NOFENCE
#ifdef FENCENOTMAX
    fence[X]=me
#else
    if :: fence[X]<me -> fence[X]=me :: else fi
#endif
#else
    skip
#endif
  }
  STEP; killp(0,X);
#if NP>1
  STEP; killp(1,X);
#endif
  STEP
}
/* drain: repair, compare and clear the mark of the one key; a authority, cp copy; loops until no mark.
 * A copy that is behind gets the state with the number it was read at; a copy that is not behind and yet
 * unequal (a plain write ran after a dual one, before the barrier) gets it with a new number. */
inline drain(a,cp) {
  do
  ::
#ifdef EITHER    /* both are asked at once: the copy may answer first */
     if :: atomic { LIVE(a) dirty[a]==0 -> m=0 }
        :: atomic { AT(a) m=dirty[a]; v=val[a]; s=seqc[a] }; STEP; atomic { AT(cp) v2=val[cp]; w=ver[cp] }
        :: atomic { AT(cp) v2=val[cp]; w=ver[cp] }; STEP; atomic { AT(a) m=dirty[a]; v=val[a]; s=seqc[a] }
     fi;
     if :: m==0 -> break
     :: else -> STEP;
#else
     atomic { AT(a) m=dirty[a]; v=val[a]; s=seqc[a] };
     if :: m==0 -> break
     :: else -> STEP;
        atomic { AT(cp) v2=val[cp]; w=ver[cp] };
        STEP;
#endif
        if :: (VIS(v)==VIS(v2)
#if !defined(ABACLEAR) && !defined(COUNTMARK)
              && (w>=s || s==1)
#endif
              ) ->
              atomic {
                AT(a)
#ifdef CLEARNOCMP
                dirty[a]=0
#else
#ifdef COUNTMARK
                if :: dirty[a]==m -> dirty[a]=0 :: else fi
#else
                if :: seqc[a]==s && mmid==tMid -> dirty[a]=0 :: else fi
#endif
#endif
              }
           :: else ->
#ifndef NOBUMP
              if :: w>=s -> atomic { AT(a) if :: mmid==tMid -> seqc[a]++ :: else fi; v=val[a]; s=seqc[a] } :: else fi; STEP;
#endif
              atomic { AT(cp) apply(cp,mmid,mg,s,v,0) };
              /* stale view of the world: look at the store again */
              if :: atomic { tN!=me -> v=0; v2=0; s=0; w=0; m=0 }; goto top :: else fi
#ifdef NOBUMP
              ; assert(!(w>=s))    /* this repair can never be applied */
#endif
        fi;
        atomic { v=0; v2=0; s=0; w=0; m=0 };
        STEP
     fi
  od;
  atomic { v=0; v2=0; s=0; w=0; m=0 }
}
#ifdef NOI3
#define CHECKEQ(a,b) skip
#else
#define CHECKEQ(a,b) assert(VIS(val[a])==VIS(val[b]))    /* A4 copies differ at the change of owner */
#endif
inline sync(a,b) { if :: VIS(val[a])==VIS(val[b]) -> val[b]=val[a] :: else fi
#ifdef DEATH
  ; if :: SETBACK(b) && VIS(val[a])==VIS(sVal) -> sVal=val[a] :: else fi
  ; took=val[a]
#ifdef OWNERNEXT   /* the generation that the switch begins */
  ; og=mg+1
#else
  ; og=mg
#endif
#endif
}
/* What a base begins with, before the drains: a the authority, cp the copy. */
inline catchup(a,cp) {
#ifndef NODWBARRIER
  barrier(a);
#endif
  atomic { AT(a) v=val[a]; s=seqc[a] }; STEP;
  atomic { AT(cp) apply(cp,mmid,mg,s,v,1); v=0; s=0 }; STEP
  /* verify pass: compares what carries no mark as well */
  ;atomic { AT(a) m=dirty[a]; v=val[a]; s=seqc[a] }; STEP;
  AT(cp) if :: m==0 && VIS(v)!=VIS(val[cp]) && s>ver[cp] -> atomic { AT(cp) apply(cp,mmid,mg,s,v,0) } :: else fi;
  atomic { m=0; v=0; s=0 }
}
#ifdef CASPHASE
#define CASOK (tPh==mph)
#else
#define CASOK (tN==me)
#endif

proctype Mgr() {
  byte me,mph,mg,mmid,m,v,s,v2,w,kq; bit src,bf;
top:
  atomic { me=tN; mph=tPh; mg=tG; src=tSrc; bf=tBf; mmid=tMid; m=0; v=0; s=0; v2=0; w=0; kq=0 };
  if
  :: mph==NONE ->
     if :: atomic { tMid<NMIG && tE<MAXE && CASOK -> NEXT; tPh=DW; tG=tE; tBf=0; tMid++;
                    dirty[tSrc]=0; seqc[tSrc]=1 /* new id: new names, so empty */
#ifdef REVFIRST
                    ; dirty[1-tSrc]=0; seqc[1-tSrc]=1
#endif
                   }; goto top
        :: tMid>=NMIG || tE>=MAXE -> goto fin
     fi
  :: mph==DW ->
     atomic { AT(1-src) setguard(1-src,mmid,mg,GOPEN,2*mmid); assert(tN!=me || (gG[GI(1-src,mmid)]==mg && gS[GI(1-src,mmid)]==GOPEN)) /* A5 a current migrator can apply */ }; STEP;
#ifdef OWNERGUARD
     atomic { AT(src) setguard(src,mmid,mg,GOWNER,2*mmid+1) }; STEP;
#endif
     if :: !bf -> catchup(src,1-src) :: else fi;
     drain(src,1-src); STEP;
     if :: atomic { CASOK && tE<MAXE -> NEXT; tPh=HOLD; tBf=1 }; goto top
        :: atomic { CASOK && tE<MAXE -> NEXT; tPh=AB; tG=tE }; goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  :: mph==HOLD ->
#ifndef NOHOLDBARRIER
     barrier(src);
#endif
#ifdef SEAL     /* an alternative repair: no client mirror is accepted while the last marks are drained */
#endif
     drain(src,1-src); STEP;
#ifndef NOFLIP
     atomic { AT(1-src) setguard(1-src,mmid,mg,GOWNER,2*mmid) }; STEP;
#endif
#ifndef LATEOPEN
     atomic { AT(src) setguard(src,mmid,me+1,GOPEN,2*mmid+1) }; STEP;
#endif
#ifdef REVFIRST   /* the metadata of the way back are made before the CAS; making again resets nothing */
#ifdef MAKERESETS
     atomic { if :: mmid==tMid -> dirty[1-src]=0; seqc[1-src]=1 :: else fi }; STEP;
#endif
#endif
     if :: atomic { CASOK && tE<MAXE -> 
#if defined(NOI3) || defined(NOI3FWD)
              skip;
#else
              assert(VIS(val[src])==VIS(val[1-src]));   /* A4 */
              assert(dirty[src]==0);
#endif
              sync(src,1-src); NEXT; tPh=SW; tG=tE
#ifndef REVFIRST
              ; dirty[1-src]=0; seqc[1-src]=1
#endif
           };
#ifdef LATEOPEN
           atomic { AT(src) setguard(src,mmid,me+1,GOPEN,2*mmid+1) };
#endif
           goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  :: mph==SW ->
     atomic { AT(src) setguard(src,mmid,mg,GOPEN,2*mmid+1); assert(tN!=me || (gG[GI(src,mmid)]==mg && gS[GI(src,mmid)]==GOPEN)) /* A5 */ };       /* after a hold of the way back was undone */
#ifdef OWNERGUARD
     STEP; atomic { AT(1-src) setguard(1-src,mmid,mg,GOWNER,2*mmid) }; STEP;
#endif
#ifdef DEATH
     if :: !bf -> catchup(1-src,src) :: else fi;
#endif
     drain(1-src,src); STEP;
     if :: atomic { CASOK && tE<MAXE -> NEXT; tPh=HOLD2
#ifdef DEATH
                    ; tBf=1
#endif
                   }; goto top
        :: atomic { CASOK && tE<MAXE -> NEXT; tPh=FIN; tG=tE }; goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  :: mph==HOLD2 ->
     barrier(1-src);
     drain(1-src,src); STEP;
     atomic { AT(src) setguard(src,mmid,mg,GOWNER,2*mmid+1) }; STEP;
     if :: atomic { CASOK && tE<MAXE -> 
#ifndef NOI3
              assert(VIS(val[src])==VIS(val[1-src]));   /* A4 */
#endif
              sync(1-src,src); NEXT; tPh=AB; tG=tE }; goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  :: mph==AB || mph==FIN ->
     w=((mph==AB) -> 1-src : src);            /* the shard that loses its copy */
#if defined(DEATH) && !defined(NOSETTLE)
     /* who took the slots over has them on its disk and its replicas: it can be set back no further */
     atomic { AT(1-w) if :: og>0 && SETBACK(1-w) -> forget() :: else fi }; STEP;
#endif
#ifndef PURGENOGUARD
     atomic { AT(w) setguard(w,mmid,mg,GPURGE,0) }; STEP;
     atomic { AT(w) if :: gG[GI(w,mmid)]==mg && gS[GI(w,mmid)]==GPURGE -> val[w]=0 :: else fi }; STEP;
#else
     atomic { setguard(w,mmid,mg,GPURGE,0) }; STEP;
     atomic { val[w]=0 }; STEP;
#endif
#ifdef PERID
#ifndef NOCLOSE
     atomic { setguard(w,mmid,mg,GCLOSED,0) }; STEP;
     atomic { setguard(1-w,mmid,mg,GCLOSED,0) }; STEP;
#endif
#endif
     atomic {                                  /* drop the metadata: its names carry the migration's id */
       AT(1-w)
#ifdef DROPRAW
       dirty[1-w]=0; ver[w]=0
#else
       if :: mmid==tMid -> dirty[1-w]=0; dirty[w]=0 :: else fi
#endif
#ifdef DROPGUARD
       ; gG[GI(w,mmid)]=0; gS[GI(w,mmid)]=0; ver[w]=0; gG[GI(1-w,mmid)]=0; gS[GI(1-w,mmid)]=0
#endif
     }; STEP;
     if :: atomic { CASOK && tE<MAXE -> NEXT; tSrc=1-w; tPh=NONE; tBf=0
#ifdef DEATH
                    ; og=0
#endif
                   }; goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  fi;
fin: skip
}
init { atomic { run Mgr();
#if NMGR>1
  run Mgr()
#endif
} }
