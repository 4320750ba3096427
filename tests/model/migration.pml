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
#ifndef TLOSS
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
inline resetreq(q) { rSt[q]=0; rE[q]=0; rG[q]=0; rRet[q]=0; rSeq[q]=0; rLo[q]=0; rP[q]=0; rX[q]=0; rW[q]=0; rD[q]=0; rOld[q]=0; rMid[q]=0 }
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
#define INFL(q,p,X) (rSt[q]>=2 && rP[q]==p && rE[q]<pN[p] && !rOld[q] && CONCERNS(q,X))
/* back in the proxy's queue: nothing of it has run, nothing of it can run any more */
inline requeue(q) { rSt[q]=1; rE[q]=0; rG[q]=0; rX[q]=0; rD[q]=0; rMid[q]=0 }

/* ============ clients, proxies, connections, network: one guarded-command loop ============ */
active proctype Env() {
  byte c,p,i,q,x; bit bad;
end:
  do
  /* client invokes */
  :: atomic { (nInv<NW || nRd<NR) ->
       c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==0 ->
          if :: nInv<NW -> nInv++; rW[c]=1; :: nRd<NR -> nRd++; rW[c]=0 fi;
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
              && (conn[2*p+x] ||
#ifdef HELLOPIPE
                 1
#else
                 fence[x]<=pE[p]
#endif
              )) ->
              conn[2*p+x]=1; rSt[c]=2; rX[c]=x; rE[c]=pN[p]; rMid[c]=pMid[p];
              if :: (DUAL(pPh[p]) && rW[c]) -> rD[c]=1; rG[c]=pG[p] :: else fi
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
       if :: rSt[q]==2 -> x=rX[q];
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
       :: else fi; q=0; x=0 }
  /* proxy gets the reply: mirror leaves (or is lost), client is answered (or its connection is gone) */
  :: atomic { c=0; do :: c<NC-1 -> c++ :: break od;
       if :: rSt[c]==3 ->
         if :: rD[c] -> i=0; do :: i<NM && mU[i] -> i++ :: else -> break od;
              if :: i<NM ->
                 if :: mU[i]=1; mD[i]=1-rX[c]; mG[i]=rG[c]; mMid[i]=MIRMID(rMid[c]); mS[i]=rSeq[c]; mV[i]=rRet[c]
#ifdef LATEREAD   /* number and value are not those of the unit, but of a reading after its reply */
                 :: mU[i]=1; mD[i]=1-rX[c]; mG[i]=rG[c]; mMid[i]=rMid[c]; mR[i]=1
#endif
                 :: skip fi
                 :: else fi
            :: else fi;
         if :: rW[c] -> assert(rRet[c]<=nInv);                     /* A1 applied twice */
                 assert(rRet[c]>rLo[c] && !got[rRet[c]]);           /* A2 lost acknowledged write / fork */
                 got[rRet[c]]=1
            :: else -> assert(rRet[c]>=rLo[c] && rRet[c]<=nInv)     /* A3 read went back */
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
       if :: mU[i] && !mR[i] -> apply(mD[i],mMid[i],mG[i],mS[i],mV[i],0); if :: freemir(i) :: skip fi :: else fi; i=0 }
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
#ifndef NOKILL
    kq=0; do :: kq<NQ -> if :: rSt[kq]==2 && rP[kq]==pp && rX[kq]==X && (PUB(pp,X)<me || rOld[kq]) -> resetreq(kq)
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
     if :: atomic { dirty[a]==0 -> m=0 }
        :: atomic { m=dirty[a]; v=val[a]; s=seqc[a] }; STEP; atomic { v2=val[cp]; w=ver[cp] }
        :: atomic { v2=val[cp]; w=ver[cp] }; STEP; atomic { m=dirty[a]; v=val[a]; s=seqc[a] }
     fi;
     if :: m==0 -> break
     :: else -> STEP;
#else
     atomic { m=dirty[a]; v=val[a]; s=seqc[a] };
     if :: m==0 -> break
     :: else -> STEP;
        atomic { v2=val[cp]; w=ver[cp] };
        STEP;
#endif
        if :: (VIS(v)==VIS(v2)
#if !defined(ABACLEAR) && !defined(COUNTMARK)
              && (w>=s || s==1)
#endif
              ) ->
              atomic {
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
              if :: w>=s -> atomic { if :: mmid==tMid -> seqc[a]++ :: else fi; v=val[a]; s=seqc[a] } :: else fi; STEP;
#endif
              atomic { apply(cp,mmid,mg,s,v,0) };
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
inline sync(a,b) { if :: VIS(val[a])==VIS(val[b]) -> val[b]=val[a] :: else fi }
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
     atomic { setguard(1-src,mmid,mg,GOPEN,2*mmid); assert(tN!=me || (gG[GI(1-src,mmid)]==mg && gS[GI(1-src,mmid)]==GOPEN)) /* A5 a current migrator can apply */ }; STEP;
#ifdef OWNERGUARD
     atomic { setguard(src,mmid,mg,GOWNER,2*mmid+1) }; STEP;
#endif
     if :: !bf ->
#ifndef NODWBARRIER
        barrier(src);
#endif
        atomic { v=val[src]; s=seqc[src] }; STEP;
        atomic { apply(1-src,mmid,mg,s,v,1); v=0; s=0 }; STEP
        /* verify pass: compares what carries no mark as well */
        ;atomic { m=dirty[src]; v=val[src]; s=seqc[src] }; STEP;
        if :: m==0 && VIS(v)!=VIS(val[1-src]) && s>ver[1-src] -> atomic { apply(1-src,mmid,mg,s,v,0) } :: else fi;
        atomic { m=0; v=0; s=0 }
        :: else
     fi;
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
     atomic { setguard(1-src,mmid,mg,GOWNER,2*mmid) }; STEP;
#endif
#ifndef LATEOPEN
     atomic { setguard(src,mmid,me+1,GOPEN,2*mmid+1) }; STEP;
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
           atomic { setguard(src,mmid,me+1,GOPEN,2*mmid+1) };
#endif
           goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  :: mph==SW ->
     atomic { setguard(src,mmid,mg,GOPEN,2*mmid+1); assert(tN!=me || (gG[GI(src,mmid)]==mg && gS[GI(src,mmid)]==GOPEN)) /* A5 */ };       /* after a hold of the way back was undone */
#ifdef OWNERGUARD
     STEP; atomic { setguard(1-src,mmid,mg,GOWNER,2*mmid) }; STEP;
#endif
     drain(1-src,src); STEP;
     if :: atomic { CASOK && tE<MAXE -> NEXT; tPh=HOLD2 }; goto top
        :: atomic { CASOK && tE<MAXE -> NEXT; tPh=FIN; tG=tE }; goto top
        :: tN!=me -> goto top
        :: tE>=MAXE -> goto fin
     fi
  :: mph==HOLD2 ->
     barrier(1-src);
     drain(1-src,src); STEP;
     atomic { setguard(src,mmid,mg,GOWNER,2*mmid+1) }; STEP;
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
#ifndef PURGENOGUARD
     atomic { setguard(w,mmid,mg,GPURGE,0) }; STEP;
     atomic { if :: gG[GI(w,mmid)]==mg && gS[GI(w,mmid)]==GPURGE -> val[w]=0 :: else fi }; STEP;
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
#ifdef DROPRAW
       dirty[1-w]=0; ver[w]=0
#else
       if :: mmid==tMid -> dirty[1-w]=0; dirty[w]=0 :: else fi
#endif
#ifdef DROPGUARD
       ; gG[GI(w,mmid)]=0; gS[GI(w,mmid)]=0; ver[w]=0; gG[GI(1-w,mmid)]=0; gS[GI(1-w,mmid)]=0
#endif
     }; STEP;
     if :: atomic { CASOK && tE<MAXE -> NEXT; tSrc=1-w; tPh=NONE; tBf=0 }; goto top
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
